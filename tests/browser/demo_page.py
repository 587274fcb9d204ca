"""What a person does with the demo."""

import contextlib
import re
import subprocess
import sys

import cv2
import numpy as np
from PIL import Image

from segjax import experiment
from segjax import predict
from segjax.artifacts.workdir import Workdir
from segjax.data import image as images
from tests import runs

PREDICTED = '#status:has-text("Predicted")'


@contextlib.contextmanager
def served(workdir, folder):
  """Yields the address of the demo of a run, and its process."""
  with open(folder / 'demo.log', 'w+') as log:
    process = subprocess.Popen(
        [sys.executable, '-m', 'segjax.demo', f'--workdir={workdir}']
        + ['--port=0', '--megapixels=0.1'],
        cwd=runs.ROOT,
        env=runs.environment(),
        stdout=log,
        stderr=log,
    )
    try:
      found = None
      while not found:
        with contextlib.suppress(subprocess.TimeoutExpired):
          process.wait(0.2)
          raise AssertionError((folder / 'demo.log').read_text())
        found = re.search(
            r'http://localhost:\d+', (folder / 'demo.log').read_text()
        )
      yield f'{found[0]}/', process
    finally:
      process.terminate()
      process.wait()


def checks(pages, address, process, workdir, folder):
  """Returns (what is done, function that does it), on a demo.

  Args:
    pages: the browser.
    address: of the demo.
    process: that serves it; the last check ends it.
    workdir: of its run, whose data set has RGB images.
    folder: for files that are uploaded.
  """
  config = Workdir(workdir).read_config()
  scene = experiment.eval_dataset(config)[0]['image']
  path = folder / 'scene.png'
  images.write_png(path, scene)
  labels, probabilities = predict.load(workdir)(scene)
  label_map, _ = Workdir(workdir).read_labels()

  def upload(page):
    page.set_input_files('#image', path)
    page.wait_for_selector(PREDICTED)

  def told(page, y, x):
    """Asserts that the page tells the classes of a pixel."""
    page.wait_for_selector(f'#at p:text-is("row {y}, column {x}")')
    rows = page.locator('#at li').all_text_contents()
    values = [float(row.split()[-1]) for row in rows]
    expected = np.sort(probabilities[y, x])[::-1][: len(values)]
    np.testing.assert_allclose(values, expected, atol=2e-3)
    best = label_map.names[labels[y, x]]
    assert rows[0].startswith(f'{best} '), (rows, best)

  def predicted():
    with pages.opened(address) as page:
      assert page.locator('#result').is_hidden()
      upload(page)
      sizes = page.locator('#stage img').evaluate_all(
          'e => e.map(x => [x.naturalHeight, x.naturalWidth])'
      )
      assert sizes == [[*labels.shape]] * 2, sizes
      found = page.locator('#found li').all_text_contents()
      for i in np.unique(labels):
        assert any(x.startswith(label_map.names[i]) for x in found), found

  def pointed():
    with pages.opened(address) as page:
      upload(page)
      page.locator('#stage').scroll_into_view_if_needed()
      box = page.locator('#stage').bounding_box()
      height, width = labels.shape
      for y, x in ((3, 5), (height // 2, width // 3), (height - 1, width - 1)):
        page.locator('#stage').hover(
            position={
                'x': (x + 0.5) / width * box['width'],
                'y': (y + 0.5) / height * box['height'],
            }
        )
        told(page, y, x)

  def walked():
    with pages.opened(address) as page:
      upload(page)
      page.locator('#stage').focus()
      y, x = (length // 2 for length in labels.shape)
      for key, dy, dx in (
          ('ArrowRight', 0, 1),
          ('ArrowUp', -1, 0),
          ('Shift+ArrowLeft', 0, -10),
          ('Shift+ArrowDown', 10, 0),
      ):
        page.keyboard.press(key)
        y, x = y + dy, x + dx
        told(page, y, x)

  def downloaded():
    with pages.opened(address) as page:
      upload(page)
      with page.expect_download() as download:
        page.get_by_role('link', name='scene.png', exact=True).click()
      assert download.value.suggested_filename == 'scene.png'
      # A palette picture: its numbers are the classes.
      mask = np.array(Image.open(download.value.path()))
      np.testing.assert_array_equal(mask, labels)

  def faded():
    with pages.opened(address) as page:
      upload(page)
      page.locator('#opacity').fill('20')
      shown = page.locator('#painted').evaluate('e => e.style.opacity')
      assert shown == '0.2', shown

  def dropped():
    with pages.opened(address) as page:
      page.evaluate(
          """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], 'fell.png'));
            document.querySelector('h1').dispatchEvent(new DragEvent('drop',
                {dataTransfer: data, cancelable: true, bubbles: true}));
          }""",
          [*path.read_bytes()],
      )
      page.wait_for_selector(PREDICTED)
      assert page.locator('#name').text_content() == 'fell.png'

  def refused():
    bad = {
        'text.png': (b'no picture', 'no image'),
        'cut.png': (path.read_bytes()[:200], 'cut.png'),
        'nothing.png': (b'', 'the file is empty'),
        'mask.exe': (path.read_bytes(), 'mask.exe is none of'),
        'deep.png': (_png(np.zeros((9, 9, 3), np.uint16)), 'holds uint16'),
        'large.png': (
            _png(np.zeros((400, 300, 3), np.uint8)),
            'is 300 x 400 pixels; this page takes 0.1 million',
        ),
        'heavy.png': (bytes(65 * 2**20), 'has more than 64 MB'),
    }
    # Chromium says in its console that an upload was answered by an error.
    with pages.opened(address, allowed=['Failed to load resource']) as page:
      upload(page)
      for name, (content, words) in bad.items():
        (folder / name).write_bytes(content)
        page.set_input_files('#image', folder / name)
        page.wait_for_selector(f'#status.down:has-text("{words}")')
        said = page.locator('#status').text_content()
        assert str(folder) not in said, said
        assert '/tmp' not in said, said
        if name == 'large.png':
          page.screenshot(path=pages.output / 'demo-refused.png')
      # The same page goes on.
      page.set_input_files('#image', [])
      upload(page)
      assert not page.locator('#status.down').count()

  def drawn():
    pages.draw('demo-empty', address, lambda page: None)

    def fill(page):
      upload(page)
      page.locator('#stage').focus()
      page.keyboard.press('ArrowRight')
      page.wait_for_selector('#at li')

    pages.draw('demo', address, fill)

  def ended():
    with pages.opened(address, allowed=['Failed to load resource']) as page:
      process.terminate()
      process.wait()
      page.set_input_files('#image', path)
      page.wait_for_selector('#status.down:has-text("does not answer")')

  return [
      ('an image is predicted', predicted),
      ('a pixel under the pointer tells its probabilities', pointed),
      ('arrow keys move over the pixels', walked),
      ('the mask is downloaded', downloaded),
      ('the prediction is faded', faded),
      ('an image that falls beside the field is predicted', dropped),
      ('bad uploads are answered in words', refused),
      ('it is drawn light and dark, wide and narrow', drawn),
      ('a program that has ended is told in words', ended),
  ]


def _png(array):
  """Returns the file of an image, of 8 or 16 bits."""
  return cv2.imencode('.png', array)[1].tobytes()
