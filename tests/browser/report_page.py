"""What a person does with a report."""

import json
import math

from segjax.artifacts import summaries
from segjax.artifacts.workdir import Workdir

VISIBLE = '.example:visible'


def checks(pages, file, workdirs):
  """Returns (what is done, function that does it), on a report on two runs.

  Args:
    pages: the browser.
    file: of the report.
    workdirs: of the runs.
  """
  address = file.as_uri()
  names = [path.name for path in workdirs]

  def links():
    with pages.opened(address) as page:
      found = page.locator('.bar nav a').all()
      assert len(found) == 7, len(found)
      for link in found:
        link.click()
        title = page.locator(f'{link.get_attribute("href")} h2')
        assert title.text_content() == link.text_content()
        box = title.bounding_box()
        bar = page.locator('.bar').bounding_box()
        assert box['y'] >= bar['height'] - 1, 'the bar hides the title'
        assert box['y'] < page.viewport_size['height'], 'not scrolled to'

  def keyboard():
    with pages.opened(address) as page:
      page.keyboard.press('Tab')
      focused = 'document.activeElement.textContent'
      assert page.evaluate(focused) == 'Skip to the scores'
      page.keyboard.press('Enter')
      assert page.url.endswith('#main'), page.url

  def curves():
    with pages.opened(address) as page:
      chart = page.locator('.chart', has_text='train/loss').first
      output = chart.locator('output')
      steps = [summaries.read(Workdir(path))['train/loss'] for path in workdirs]
      first, second = sorted(steps[0])[:2]
      chart.focus()
      for step in (first, second):
        page.keyboard.press('ArrowRight')
        told = output.text_content()
        assert told.startswith(f'step {step:,}: '), told
        for name, values in zip(names, steps, strict=True):
          number = float(told.partition(f'{name} ')[2].split(',')[0])
          assert math.isclose(number, values[step], rel_tol=1e-3), told
      box = chart.locator('svg').bounding_box()
      chart.locator('svg').hover(
          position={'x': 0.98 * box['width'], 'y': box['height'] / 2}
      )
      last = f'step {max(steps[0]):,}: '
      assert output.text_content().startswith(last), output.text_content()
      page.mouse.move(0, 0)
      assert ' to ' in output.text_content()

  def sections():
    with pages.opened(address) as page:
      details = page.locator('details:not([open])')
      count = details.count()
      assert count > 3, count
      for _ in range(count):
        details.first.locator('summary').click()
      assert not details.count()
      over = page.evaluate('document.documentElement.scrollWidth - innerWidth')
      assert over <= 0, f'{over} pixels too wide'

  def classes():
    with pages.opened(address) as page:
      rows = page.locator('table.sortable tbody tr')
      before = rows.locator('th').all_text_contents()
      heads = page.locator('table.sortable thead th')
      column = next(
          i
          for i, text in enumerate(heads.all_text_contents())
          if text.startswith('IoU')
      )

      def values():
        cells = rows.locator(f'td:nth-child({column + 1}) [data-value]')
        return [
            float(x)
            for x in cells.evaluate_all('e => e.map(x => x.dataset.value)')
            if x
        ]

      button = heads.nth(column).locator('button')
      button.click()
      assert values() == sorted(values(), reverse=True), values()
      button.click()
      assert values() == sorted(values()), values()
      assert heads.nth(column).get_attribute('aria-sort') == 'ascending'
      assert sorted(rows.locator('th').all_text_contents()) == sorted(before)

  def images():
    with pages.opened(address) as page:
      buttons = page.locator('[data-order]')
      assert buttons.all_text_contents() == [
          *(
              f'{kind} of {name}'
              for name in names
              for kind in ('Worst', 'Best')
          ),
          'Runs differ most',
      ]
      for button in buttons.all():
        button.click()
        assert button.get_attribute('aria-pressed') == 'true'
        assert page.locator('[data-order][aria-pressed=true]').count() == 1
        keys = json.loads(button.get_attribute('data-order'))
        shown = page.locator(VISIBLE).evaluate_all(
            'e => e.map(x => x.dataset.key)'
        )
        assert shown == keys, (shown, keys)
        sizes = page.locator(f'{VISIBLE} .zoom img').evaluate_all(
            'e => e.map(x => [x.naturalWidth, x.naturalHeight])'
        )
        assert len(sizes) == 4 * len(keys), sizes
        assert min(map(min, sizes)) > 0, 'a picture is broken'

  def zoom():
    with pages.opened(address) as page:
      button = page.locator(f'{VISIBLE} .zoom').nth(2)
      button.focus()
      page.keyboard.press('Enter')
      dialog = page.locator('dialog')
      assert dialog.evaluate('d => d.open')
      said = dialog.locator('p').text_content()
      assert said == button.locator('img').get_attribute('alt'), said
      page.screenshot(path=pages.output / 'report-zoom.png')
      page.keyboard.press('Escape')
      assert not dialog.evaluate('d => d.open')
      assert button.evaluate('e => document.activeElement === e')
      button.click()
      dialog.get_by_role('button', name='Close').click()
      assert not dialog.evaluate('d => d.open')

  def theme():
    paper = 'getComputedStyle(document.body).backgroundColor'
    for scheme in ('light', 'dark'):
      with pages.opened(address, scheme=scheme) as page:
        before = page.evaluate(paper)
        page.locator('#theme').click()
        assert page.evaluate(paper) != before
        page.locator('#theme').click()
        assert page.evaluate(paper) == before

  def drawn():
    pages.draw('report', address, lambda page: None)

  return [
      ('each link of the bar leads to its section', links),
      ('the first key leads past the bar', keyboard),
      ('a curve tells its values by keys and pointer', curves),
      ('all that is folded opens', sections),
      ('classes are sorted by a score, both ways', classes),
      ('each choice of images shows its images', images),
      ('a picture opens in full and closes', zoom),
      ('the theme changes and changes back', theme),
      ('it is drawn light and dark, wide and narrow', drawn),
  ]
