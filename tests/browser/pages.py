"""Pages in Chromium, which tell what went wrong in them."""

import contextlib
import os

WIDE, NARROW = (1280, 900), (390, 844)


class Pages:
  """Opens pages, and draws them in both themes, in wide and narrow windows."""

  def __init__(self, playwright, program, output):
    """Starts the browser.

    Args:
      playwright: see its documentation.
      program: path of Chromium.
      output: folder of the pictures.
    """
    # Chromium refuses root its sandbox.
    root = getattr(os, 'geteuid', lambda: 1)() == 0
    self._browser = playwright.chromium.launch(
        executable_path=program, args=['--no-sandbox'] if root else []
    )
    self.output = output

  def __enter__(self):
    return self

  def __exit__(self, *reason):
    self._browser.close()

  @contextlib.contextmanager
  def opened(self, address, size=WIDE, scheme='light', allowed=()):
    """Yields a page, and raises what its scripts complained of at the end.

    Args:
      address: of the page.
      size: of the window.
      scheme: 'light' or 'dark', as the system of the user is.
      allowed: parts of complaints that are right.
    """
    context = self._browser.new_context(
        viewport={'width': size[0], 'height': size[1]}, color_scheme=scheme
    )
    page, said = context.new_page(), []
    page.set_default_timeout(120_000)  # Of a busy machine, too.
    page.on('pageerror', lambda error: said.append(str(error)))
    page.on(
        'console',
        lambda line: line.type in ('error', 'warning')
        and said.append(line.text),
    )
    own = address.partition('?')[0].rsplit('/', 1)[0]
    page.on(
        'request',
        lambda request: request.url.startswith((own, 'data:', 'blob:'))
        or said.append(f'asks {request.url}'),
    )
    try:
      page.goto(address)
      yield page
    finally:
      context.close()
    said = [x for x in said if not any(word in x for word in allowed)]
    assert not said, f'the page says {said}'

  def draw(self, name, address, prepare):
    """Draws a page in both themes and sizes; nothing may hang over its sides.

    Args:
      name: of the pictures.
      address: of the page.
      prepare: called with the page before it is drawn.
    """
    for kind, size in (('wide', WIDE), ('narrow', NARROW)):
      for scheme in ('light', 'dark'):
        with self.opened(address, size, scheme) as page:
          prepare(page)
          page.evaluate('scrollTo(0, 0)')
          page.screenshot(
              path=self.output / f'{name}-{kind}-{scheme}.png', full_page=True
          )
          over = page.evaluate(
              'document.documentElement.scrollWidth - innerWidth'
          )
          assert over <= 0, f'{over} pixels too wide in a {kind} window'
          dim = page.evaluate(DIM)
          assert not dim, f'hard to read in {scheme}: {dim}'


# Text whose contrast to its background is below 4.5, as WCAG has it.
DIM = """() => {
  const canvas = document.createElement('canvas').getContext(
      '2d', {willReadFrequently: true});
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(x => x / 255).map(
      x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4).reduce(
      (sum, x, i) => sum + x * [.2126, .7152, .0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = rgba(getComputedStyle(e).backgroundColor);
      if (color[3] > 250) return color;
    }
    return [255, 255, 255, 255];
  };
  const found = new Set();
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].filter(
        node => node.nodeType === 3 && node.data.trim());
    if (!text.length || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const svg = element instanceof SVGElement;
    const [x, y] = [light(rgba(svg ? style.fill : style.color)),
                    light(behind(element))];
    const contrast = (Math.max(x, y) + .05) / (Math.min(x, y) + .05);
    if (contrast < 4.5) {
      found.add(`${text[0].data.trim().slice(0, 30)}: ${contrast.toFixed(2)}`);
    }
  }
  return [...found].slice(0, 5);
}"""
