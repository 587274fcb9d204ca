import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs import mask_rcnn
from segjax import evaluate
from segjax import predict
from segjax.artifacts.checkpoint import Checkpoints
from segjax.artifacts.checkpoint import best
from segjax.artifacts.workdir import Workdir
from segjax.convert import torch_file
from segjax.convert import workdirs
from segjax.data.datasets.shapes import LABEL_MAP
from tests import tiny
from tests.convert import torchvision


def get_config():
  config = tiny.get_config()
  config.model.update(rates=(1, 2, 3))
  return config


@pytest.fixture(scope='module')
def state():
  return torchvision.state(torchvision.deeplabv3(LABEL_MAP.num_classes))


@pytest.fixture(scope='module')
def file(state, tmp_path_factory):
  path = tmp_path_factory.mktemp('file') / 'deeplabv3.safetensors'
  torch_file.write(path, state)
  return path


@pytest.fixture(scope='module')
def converted(file, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('converted')
  workdirs.convert('torchvision', get_config(), file, workdir)
  return Workdir(workdir)


def run(*arguments):
  return subprocess.run(
      [sys.executable, '-m', 'segjax.convert', *arguments],
      capture_output=True,
      text=True,
  )


def test_the_program_converts_and_says_what_went_where(file, tmp_path):
  process = run(
      '--source=torchvision',
      '--config=tests/tiny.py',
      '--config.model.rates=(1, 2, 3)',
      f'--checkpoint={file}',
      f'--output={tmp_path}',
  )
  assert process.returncode == 0, process.stderr
  said = {line.split()[0]: line for line in process.stdout.splitlines()}
  norm, head = 'backbone.bn1.num_batches_tracked', 'classifier.4.bias'
  shape = f'[{LABEL_MAP.num_classes}]'
  assert said[head].split() == [head, shape, 'params/classifier/bias']
  assert said[norm].split('  ')[-1] == 'dropped by a rule'
  assert 'output_stride=8' in process.stderr  # What its fields should be.
  assert Checkpoints(tmp_path / 'checkpoints', read_only=True).steps() == [0]


def test_the_program_lists_sources_and_systems():
  process = run('--list')
  assert process.returncode == 0, process.stderr
  assert 'torchvision     Modules of torchvision' in process.stdout
  assert '\n  deeplabv3     DeepLabv3 from torchvision' in process.stdout


def test_converted_weights_evaluate_and_predict_the_same(converted):
  scores = evaluate.run(converted.read_config(), converted)
  assert 0 <= scores['mIoU'] <= 1
  predictor = predict.load(converted.path)
  assert predictor.label_map.names == LABEL_MAP.names
  labels, _ = predictor(np.zeros((32, 48, 3), np.uint8))
  assert labels.shape == (32, 48)


def test_the_way_back_is_exact(converted, state, tmp_path):
  path = tmp_path / 'back.safetensors'
  workdirs.write_back(converted.path, path)
  back = torch_file.read(path)
  # Those that rules drop are among them.
  assert set(back) == set(state)
  for name, tensor in state.items():
    assert back[name].dtype == tensor.dtype
    np.testing.assert_array_equal(back[name], tensor, name)


def write_run(path, config, saved):
  """Writes what a run leaves that writing back needs."""
  run = Workdir(path)
  run.make()
  run.claim(config)
  checkpoints = Checkpoints(run.checkpoints)
  checkpoints.save(0, saved)
  checkpoints.close()
  return run


def test_a_run_that_began_with_them_is_written_under_their_names(
    converted, file, tmp_path
):
  config = get_config()
  saved = Checkpoints(converted.checkpoints, read_only=True).read(0)
  run = write_run(tmp_path / 'scratch', config, saved)
  with pytest.raises(ValueError, match='--like=FILE --source='):
    workdirs.write_back(run.path, tmp_path / 'a.npz')
  workdirs.write_back(
      run.path, tmp_path / 'like.npz', source='torchvision', like=file
  )
  config.init_from = str(converted.path)
  run = write_run(tmp_path / 'run', config, saved)
  workdirs.write_back(run.path, tmp_path / 'own.npz')
  like, own = (
      torch_file.read(tmp_path / f'{name}.npz') for name in ('like', 'own')
  )
  assert set(like) == set(own)
  for name in like:
    np.testing.assert_array_equal(like[name], own[name])


def test_nothing_is_written_where_the_weights_do_not_fit(file, tmp_path):
  config = get_config()
  config.model.features = 16
  with pytest.raises(ValueError, match='does not fit the model'):
    workdirs.convert('torchvision', config, file, tmp_path / 'new')
  assert not (tmp_path / 'new').exists()


def test_weights_of_other_classes_than_the_configs_are_converted(tmp_path):
  path = tmp_path / 'file.npz'
  torch_file.write(path, torchvision.state(torchvision.deeplabv3(3)))
  output = Workdir(tmp_path / 'new')
  workdirs.convert(
      'torchvision', get_config(), path, output.path, num_classes=3
  )
  names = json.loads(output.labels.read_text())['names']
  assert names == ['class 0', 'class 1', 'class 2']


def test_numbered_classes_of_detectors_are_things():
  config = mask_rcnn.get_config('nuclei')
  assert workdirs.read_label_map(config, 4).things == (1, 2, 3)
  assert workdirs.read_label_map(get_config(), 4).things == ()


def test_a_folder_with_checkpoints_is_left_alone(converted, file):
  with pytest.raises(ValueError, match='choose another --output'):
    workdirs.convert('torchvision', get_config(), file, converted.path)


def test_converted_weights_are_no_run_to_go_on_with(converted):
  with pytest.raises(ValueError, match='--config.init_from='):
    Checkpoints(converted.checkpoints).restore({'opt_state': np.zeros(1)})


@pytest.mark.parametrize('head', [False, True])
def test_a_classifier_becomes_a_backbone(tmp_path, head):
  shapes = torchvision.resnet()
  if head:
    shapes |= {'fc.weight': (1000, 128), 'fc.bias': (1000,)}
  torch_file.write(tmp_path / 'a.npz', torchvision.state(shapes))
  workdirs.convert_backbone(
      'torchvision', 'resnet/tiny', tmp_path / 'a.npz', tmp_path / 'new'
  )
  saved = Checkpoints(tmp_path / 'new' / 'checkpoints', read_only=True).read(0)
  assert set(saved['params']) == {'backbone'}
  assert ('classifier' in saved['params']['backbone']) == head
  workdirs.write_back(tmp_path / 'new', tmp_path / 'back.npz')
  there, back = (torch_file.read(tmp_path / f'{n}.npz') for n in ('a', 'back'))
  assert set(there) == set(back)
  for name, tensor in there.items():
    np.testing.assert_array_equal(back[name], tensor, name)


def test_what_is_missing_is_named():
  process = run('--source=torchvision', '--checkpoint=a')
  assert process.returncode == 1
  assert '--output must be given' in process.stderr


def test_unknown_sources_and_systems_are_answered_with_those_that_exist(
    file, tmp_path
):
  config = get_config()
  with pytest.raises(ValueError, match='Known: .*torchvision'):
    workdirs.convert('torchvisio', config, file, tmp_path / 'new')
  with pytest.raises(ValueError, match="no rules for 'deeplabv3' of 'drn'"):
    workdirs.convert('drn', config, file, tmp_path / 'new')


@pytest.mark.parametrize('prefix', ['model.', 'module.net._orig_mod.'])
def test_prefixes_of_wrappers_are_taken_off_and_said(
    state, converted, tmp_path, caplog, prefix
):
  path = tmp_path / 'wrapped.npz'
  torch_file.write(path, {f'{prefix}{n}': x for n, x in state.items()})
  with caplog.at_level('INFO'):
    workdirs.convert('torchvision', get_config(), path, tmp_path / 'out')
  assert 'is taken off' in caplog.text
  _, expected = best(converted.checkpoints)
  _, found = best(tmp_path / 'out/checkpoints')
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_names_that_no_rule_knows_are_those_of_the_file(
    state, tmp_path, caplog
):
  path = tmp_path / 'wrapped.npz'
  wrapped = {f'model.{n}': x for n, x in state.items()}
  torch_file.write(path, wrapped | {'criterion.scale': np.ones(1)})
  with pytest.raises(ValueError, match=r'criterion.scale \[1\]: no rule match'):
    workdirs.convert('torchvision', get_config(), path, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()
  assert '--key=model takes those of one module alone' in caplog.text


def test_weights_that_are_not_finite_are_named(state, tmp_path):
  path = tmp_path / 'nan.npz'
  name = 'backbone.layer1.0.conv1.weight'
  broken = np.array(state[name])
  broken.flat[:3] = np.nan, np.inf, np.nan
  torch_file.write(path, state | {name: broken})
  with pytest.raises(ValueError, match=f'{name} .*: 3 of .* are NaN or inf'):
    workdirs.convert('torchvision', get_config(), path, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()
