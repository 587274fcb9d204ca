import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from configs import panoptic_deeplab
from segjax import evaluate
from segjax import experiment
from segjax import report
from segjax.data.datasets import shapes
from segjax.web.report_page.html import number
from segjax.web.report_page.runs import Run
from tests import saved_run
from tests import tiny
from tests.web import html

ROOT = pathlib.Path(__file__).parent.parent
SIZE = 32, 48


def save(folder, config, variables):
  """Writes what a run leaves that has come to its middle."""
  workdir = saved_run.save(folder, config, variables, step=3)
  lines = [
      {'step': 2, 'time': 1.0, 'train/loss': 2.5, 'train/grad_norm': 1.0},
      {'step': 4, 'time': 2.0, 'train/loss': None, 'train/grad_norm': 2.0},
      {'step': 6, 'time': 3.0, 'train/loss': 1.5, 'val/mIoU': 0.25},
      {'step': 6, 'time': 4.0, 'val/IoU/<disk>': 0.5, 'speed/steps': 3.0},
  ]
  text = ''.join(f'{json.dumps(line)}\n' for line in lines)
  workdir.metrics.write_text(text + '{"step": 8, "ti')
  workdir.note_start({'commit': 'abc123', 'command': 'python -m segjax <&>'})
  return workdir


@pytest.fixture(scope='module')
def runs(tmp_path_factory, random_variables):
  """Two runs that differ in their seeds and weights."""
  folder, runs = tmp_path_factory.mktemp('runs'), []
  for seed in range(2):
    config = tiny.get_config()
    config.seed = seed
    model = experiment.model(config, shapes.LABEL_MAP)
    variables = random_variables(model, (1, *SIZE, 3))
    if seed:  # So that it predicts something else.
      kernel = variables['params']['classifier']['kernel']
      variables['params']['classifier']['kernel'] = kernel[..., ::-1]
    runs.append(save(folder / f'run <{seed}>', config, variables))
  return runs


@pytest.fixture(scope='module')
def text(runs, tmp_path_factory):
  output = tmp_path_factory.mktemp('report') / 'report.html'
  report.write([run.path for run in runs], output, count=2)
  return output.read_text()


@pytest.fixture(scope='module')
def page(text):
  return html.Page(text)


@pytest.fixture(scope='module')
def expected(runs):
  """The scores as --mode=eval has them, and of each image by itself."""
  found = []
  for run in runs:
    scores = evaluate.run(run.read_config(), run)
    found.append(scores)
    (run.path / 'score-val.json').unlink()
  return found


def test_the_page_is_whole_and_loads_nothing(page, text):
  html.check(page)
  for address in page.addresses():
    assert address.startswith(('#', 'data:image/')), address[:80]
  assert 'http' not in re.sub('http-equiv', '', text)
  assert 'url(' not in text
  content = [a['content'] for a, _ in page.find('meta') if 'http-equiv' in a]
  assert content[0].startswith("default-src 'none'; img-src data:")


def test_scores_are_those_of_an_evaluation(page, expected):
  rows = {}
  for _, text in page.find('tr'):
    name, *values = text.split(' ')
    rows.setdefault(name, values)
  for name in ('mIoU', 'accuracy', 'boundary_IoU'):
    assert rows[name] == [number(s[name]) for s in expected]
  cells = {a.get('data-value') for a, _ in page.find('span')}
  for scores in expected:
    for name in shapes.LABEL_MAP.names:
      assert str(scores[f'IoU/{name}']) in cells


def test_a_row_of_the_confusion_matrix_counts_the_pixels_of_a_class(page, runs):
  dataset = experiment.eval_dataset(runs[0].read_config())
  labels = np.concatenate([e['label'].ravel() for e in dataset])
  said = [a['title'] for a, _ in page.find('td') if 'pixels of' in str(a)]
  assert len(said) == 2 * 8 * 8
  for k, name in enumerate(shapes.LABEL_MAP.names):
    counts = [
        int(text.split()[0].replace(',', ''))
        for text in said[:64]
        if f' of {name} as ' in text
    ]
    assert sum(counts) == (labels == k).sum()


def test_images_are_ordered_by_their_scores(page, runs):
  orders = {
      text: [key.partition('/')[2] for key in json.loads(a['data-order'])]
      for a, text in page.find('button')
      if 'data-order' in a
  }
  assert set(orders) == {
      *('Worst of run <0>', 'Best of run <0>'),
      *('Worst of run <1>', 'Best of run <1>'),
      'Runs differ most',
  }
  shown = {
      (a['alt'].split()[5].rstrip(','), a['alt'].split()[3]): a['alt']
      for a, _ in page.find('img')
      if a['alt'].startswith('Prediction of run ')
  }
  for run in ('<0>', '<1>'):
    worst, best = (
        [float(shown[name, run].split()[-1]) for name in orders[f'{kind} {of}']]
        for kind, of in (('Worst of run', run), ('Best of run', run))
    )
    assert worst == sorted(worst)
    assert best == sorted(best, reverse=True)
    assert max(worst) <= min(best)
    assert len(worst) == len(best) == 2


def test_an_image_is_beside_its_label_and_the_predictions(page, runs):
  dataset = experiment.eval_dataset(runs[0].read_config())
  labels = {e['name']: e['label'] for e in dataset}
  pictures = {a['alt']: a['src'] for a, _ in page.find('img') if a.get('src')}
  names = [a['data-key'].partition('/')[2] for a, _ in page.find('article')]
  assert 2 <= len(names) <= 10
  for name in names:
    assert html.decode(pictures[f'Image {name}']).shape == (*SIZE, 3)
    label = html.decode(pictures[f'Label of {name}'])
    for k, color in enumerate(shapes.LABEL_MAP.colors):
      assert (label[labels[name] == k] == color).all()
    predicted = [
        alt for alt in pictures if alt.startswith('Predict') and name in alt
    ]
    assert len(predicted) == 2


def test_the_page_tells_what_differs_and_how_runs_were_started(page, runs):
  rows = [text for _, text in page.find('tr')]
  assert 'seed 0 1' in rows
  assert not any(row.startswith('batch_size ') for row in rows)
  assert any('abc123' in row and 'segjax <&>' in row for row in rows)
  assert any(row.startswith('jax ') for row in rows)
  told = [text for _, text in page.find('dd')]
  assert any('classes in neither truth nor prediction' in x for x in told)
  notes = [text for _, text in page.find('p', class_='note')]
  assert notes.count('It is at step 6 of 12.') == 2


def test_curves_are_those_of_the_metrics(page):
  charts = {
      text: json.loads(a['data-chart'])
      for a, text in page.find('figure')
      if 'data-chart' in a
  }
  losses = next(v for k, v in charts.items() if k.startswith('train/loss'))
  assert losses['lines'] == [[[2, 2.5], [6, 1.5]]] * 2
  assert losses['names'] == ['run <0>', 'run <1>']
  assert any(name.startswith('val/IoU/<disk>') for name in charts)


def test_images_of_other_data_are_not_put_together():
  def run(name, ground, **values):
    return Run(name, '', {}, {}, [], {}, 'mIoU', ground=ground, images=values)

  runs = [run('a', 0, x=0.5, y=0.25), run('b', 0, x=0.75, y=float('nan'))]
  orders = report.choose([*runs, run('c', 2, x=0.0, y=1.0)], 5)
  assert orders['Worst of a'] == ['0/y', '0/x']
  assert orders['Best of b'] == ['0/x']
  assert orders['Worst of c'] == ['2/x', '2/y']
  assert orders['Runs differ most'] == ['0/x']


def test_what_is_no_report_is_not_overwritten(runs, tmp_path):
  output = tmp_path / 'page.html'
  output.write_text('<p>mine')
  with pytest.raises(ValueError, match='is no report of segjax'):
    report.write([runs[0].path], output)
  assert output.read_text() == '<p>mine'
  with pytest.raises(ValueError, match='named twice'):
    report.write([runs[0].path] * 2, tmp_path / 'new.html')
  with pytest.raises(FileNotFoundError, match='is no workdir'):
    report.write([tmp_path], tmp_path / 'new.html')
  with pytest.raises(ValueError, match='there is no folder'):
    report.write([runs[0].path], tmp_path / 'none' / 'new.html')


def test_a_run_without_its_data_is_told_of_all_the_same(
    runs, tmp_path, monkeypatch
):
  def gone(config):
    raise FileNotFoundError('no images in /mnt/data')

  output = tmp_path / 'report.html'
  report.write([runs[0].path], output, count=0)  # A report may be replaced.
  monkeypatch.setattr(experiment, 'eval_dataset', gone)
  report.write([runs[0].path], output)
  page = html.Page(output.read_text())
  html.check(page)
  notes = [text for _, text in page.find('p', class_='note')]
  assert any('no images in /mnt/data' in text for text in notes)
  assert 'mIoU 0.2500' in [text for _, text in page.find('tr')]


def test_segments_have_a_report(tmp_path, monkeypatch):
  def forward(config, system):
    """Takes each image for one segment of the background."""

    def predict(variables, batch):
      shape = batch['image'].shape[:3]
      return {
          'segments': np.ones(shape, np.int32),
          'classes': np.zeros((len(batch['image']), 1), np.uint8),
          'scores': np.ones((len(batch['image']), 1), np.float32),
          'labels': np.zeros(shape, np.uint8),
      }

    return predict

  monkeypatch.setattr(experiment, 'forward', forward)
  config = panoptic_deeplab.get_config()
  config.dataset.options.update(size=SIZE, length=8)
  params = {'kernel': np.zeros(1, np.float32)}
  workdir = save(tmp_path / 'run', config, {'params': params})
  report.write([workdir.path], tmp_path / 'report.html', count=1)
  page = html.Page((tmp_path / 'report.html').read_text())
  html.check(page)
  rows = [text for _, text in page.find('tr')]
  mean = next(row for row in rows if row.startswith('PQ '))
  assert 0 < float(mean.split()[1]) < 0.2
  background = next(row for row in rows if row.startswith('background '))
  assert float(background.split()[2]) > 0.5
  told = ' '.join(text for _, text in page.find('dd'))
  assert 'Segments match where their IoU is above one half' in told
  pictures = {a['alt']: a['src'] for a, _ in page.find('img') if a.get('src')}
  name = page.find('article')[0][0]['data-key'].partition('/')[2]
  of_name = [k for k in pictures if k.startswith('Predict') and name in k]
  colors = np.unique(html.decode(pictures[of_name[0]]).reshape(-1, 3), axis=0)
  assert len(colors) == 1


def test_the_command_reports_what_lies_in_the_folder(runs, tmp_path):
  output = tmp_path / 'report.html'
  process = subprocess.run(
      [
          *(sys.executable, '-m', 'segjax.report', runs[0].path),
          *('--images=0', f'--output={output}'),
      ],
      cwd=ROOT,
      capture_output=True,
      text=True,
  )
  assert process.returncode == 0, process.stderr
  assert f'{output} has 1 runs and 0 images' in process.stderr
  page = html.Page(output.read_text())
  notes = [text for _, text in page.find('p', class_='note')]
  assert 'Its checkpoint was not evaluated for this report.' in notes
