import json

from etils import epath

from segjax.tools import latency

OPERATORS = {
    'a': ('conv', 4, 6, 2, 3, 1),
    'b': ('conv_downup', 4, 6, 2, 3, 1),
    'c': ('skip', 4, 6, 2, 3, 1),
}


def test_what_is_measured_already_is_kept(tmp_path, monkeypatch):
  path = epath.Path(tmp_path / 'latency.json')
  path.write_text(json.dumps({'b': 7.0}))
  measured = []

  def milliseconds(operator, dtype, seconds):
    measured.append(operator)
    return 0.5

  monkeypatch.setattr(latency, 'milliseconds', milliseconds)
  table = latency.measure(OPERATORS, path)
  assert measured == [OPERATORS['a'], OPERATORS['c']]
  assert table == {'a': 0.5, 'b': 7.0, 'c': 0.5}
  assert json.loads(path.read_text()) == table


def test_an_operator_takes_time():
  assert latency.milliseconds(OPERATORS['c'], 'bfloat16', 0.0) > 0
