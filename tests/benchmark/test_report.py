import json

import pytest

from segjax.benchmark import report


@pytest.fixture
def rows():
  facts = {'parameters': 10, 'products': 200, 'flops': 1e9, 'memory': 3e6}
  ours = report.row(
      'unet',
      'train',
      'segjax',
      [0.2, 0.1, 0.4],
      4,
      facts,
      after={'peak_bytes': 9e6},  # Of the process.
      peak=1e10,
  )
  theirs = report.row(
      'unet',
      'train',
      'torch eager',
      [0.5, 0.3, 0.4],
      4,
      {'parameters': 10, 'products': 100},
      after={'peak_bytes': 7e6},
  )
  found = [ours, theirs]
  report.add_ratios(found, 'segjax')
  return found


def test_a_row_has_median_spread_and_what_follows(rows):
  ours, theirs = rows
  assert ours['median_seconds'] == 0.2
  assert (ours['min_seconds'], ours['max_seconds']) == (0.1, 0.4)
  assert ours['images_per_second'] == pytest.approx(20)
  assert ours['peak_share'] == pytest.approx(0.5)
  assert theirs['peak_share'] is None


def test_ratios_are_theirs_over_ours(rows):
  ours, theirs = rows
  assert theirs['time_ratio'] == pytest.approx(2.0)
  assert theirs['products_ratio'] == 0.5
  assert theirs['parameters_ratio'] == 1
  assert 'time_ratio' not in ours


def test_markdown_has_a_cell_for_each_title(rows):
  head, rule, *lines = report.markdown(rows).splitlines()
  assert len(lines) == 2
  assert {line.count('|') for line in (head, rule, *lines)} == {
      len(report.TITLES) + 1
  }
  assert '| 200 | 100..400 | 20 |  | 1 | 50% | 3 |  |  |  |' in lines[0]
  assert '| 400 | 300..500 | 10 |  |  |  | 7 |  | 2.00 | 0.500 |' in lines[1]


def test_the_terminal_shows_rows_and_where_time_goes(rows, capsys):
  long = 'cudnn_fprop' + 200 * '_'
  rows[0]['kernels'] = {long: 3e-3, 'loop_add_fusion': 1e-3}
  report.show(rows)
  shown = capsys.readouterr().out
  assert '3.000 75.0% cudnn_fprop___' in ' '.join(shown.split())
  assert 'torch eager' in shown
  assert '75.0% convolutions and products' in ' '.join(shown.split())


def test_json_is_read_back_whole(rows, tmp_path):
  path = tmp_path / 'new' / 'speed.json'
  report.write(path, report.about({'segjax': {'platform': 'cpu'}}), rows)
  content = json.loads(path.read_text())
  assert content['rows'] == rows
  assert content['workers']['segjax']['platform'] == 'cpu'
  assert content['cores'] >= 1
  assert [p.name for p in path.parent.iterdir()] == ['speed.json']


def test_a_file_in_markdown_has_the_command_and_the_table(rows, tmp_path):
  path = tmp_path / 'speed.md'
  report.write(path, report.about({}), rows)
  head, empty, *table = path.read_text().splitlines()
  assert 'python -m segjax.benchmark' in head
  assert not empty
  assert '\n'.join(table) + '\n' == report.markdown(rows)


def test_a_latency_has_mean_and_95th_percentile():
  seconds = [0.1] * 19 + [0.5]
  row = report.latency_row(
      'fast_scnn', (512, 1024), 'segjax', seconds, {'parameters': 1_500_000}
  )
  assert row['what'] == 'latency, 512 x 1024'
  assert row['mean_seconds'] == pytest.approx(0.12)
  assert row['p95_seconds'] == pytest.approx(0.12)
  cells = dict(zip(report.TITLES, report.cells(row), strict=True))
  assert (cells['mean ms'], cells['M params']) == ('120', '1.50')


def test_scores_of_logged_runs_stand_beside_latencies(tmp_path):
  lines = [
      {'system': 'enet', 'dataset': 'shapes', 'score': 'mIoU', 'seed': 0},
      {'step': 350, 'mIoU': 0.3},
      {'step': 700, 'mIoU': 0.602},
  ]
  log = tmp_path / 'enet-shapes-0.jsonl'
  log.write_text('\n'.join(map(json.dumps, lines)) + '\n')
  assert report.trained('enet', tmp_path) == '60.2 mIoU on shapes'
  assert report.trained('net', tmp_path) == ''
