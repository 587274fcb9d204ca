import json

import numpy as np
import pytest

from tests.parity import __main__ as runner
from tests.parity import reference
from tests.parity.cases import CASES
from tests.parity.test_parity import FOLDER

NAME = 'torchvision_resnet18'


@pytest.fixture(scope='module')
def computed():
  """A spec, and what our network computes for it."""
  spec, given, _ = reference.load(FOLDER / f'{NAME}.npz')
  spec['input']['shape'], spec['input']['salt'] = [2, 45, 67, 3], 'another'
  return spec, CASES[NAME].compute(spec, given)


def write(folder, spec, outputs):
  folder.mkdir()
  (folder / 'spec.json').write_text(json.dumps(spec))
  np.savez(folder / 'outputs.npz', **outputs)


def test_a_line_for_each_output_and_good_if_all_agree(
    computed, tmp_path, capsys
):
  spec, outputs = computed
  write(tmp_path / NAME, spec, outputs)
  assert runner.main(tmp_path, [])
  lines = capsys.readouterr().out.splitlines()
  assert [line.split()[:2] for line in lines] == [
      [NAME, output] for output in spec['outputs']
  ]
  assert all(line.endswith(' ok') for line in lines)


@pytest.mark.parametrize('wrong', [1.01, np.nan])
def test_an_output_that_is_off_is_shown(computed, tmp_path, capsys, wrong):
  spec, outputs = computed
  changed = {**outputs, 'class_logits': wrong * outputs['class_logits']}
  write(tmp_path / NAME, spec, changed)
  assert not runner.main(tmp_path, [NAME])
  lines = capsys.readouterr().out.splitlines()
  far = [line.split()[1] for line in lines if 'TOO FAR' in line]
  assert far == ['class_logits']


def test_a_fixture_without_a_case_is_named(tmp_path, capsys):
  write(tmp_path / 'unheard_of', {'outputs': {}}, {})
  assert not runner.main(tmp_path, [])
  assert ' '.join(capsys.readouterr().out.split()) == 'unheard_of has no case'


def test_functions_run_too_and_integers_have_to_be_equal(tmp_path, capsys):
  name = 'metrics_semantic'
  spec, given, _ = reference.load(FOLDER / f'{name}.npz')
  outputs = ('mean_iou', 'confusion', 'seg2bmap_class1')
  spec['outputs'] = {
      key: shape
      for key, shape in spec['outputs'].items()
      if key in given or key in outputs
  }
  computed = CASES[name].compute(spec, given)
  computed['seg2bmap_class1'] = np.zeros((60, 90), np.uint8)
  computed['confusion'][2, 3] += 1
  write(tmp_path / name, spec, given | {key: computed[key] for key in outputs})
  assert not runner.main(tmp_path, [])
  lines = capsys.readouterr().out.splitlines()
  assert {line.split()[1]: line.split()[-2:] for line in lines} == {
      'mean_iou': ['1.0e-12', 'ok'],
      'confusion': ['TOO', 'FAR'],
      'seg2bmap_class1': ['not', 'compared'],
  }
