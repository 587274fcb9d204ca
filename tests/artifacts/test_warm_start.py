import jax
import numpy as np
import pytest

from segjax import experiment
from segjax import train
from segjax.artifacts import warm_start
from segjax.artifacts.checkpoint import Checkpoints
from segjax.artifacts.workdir import Workdir
from tests import tiny


def tree(classes=3, channels=3, **more):
  """Variables of a network of two layers, all values different."""
  rng = np.random.default_rng(classes + 10 * channels)
  return {
      'params': {
          'backbone': {
              'stem': {'kernel': rng.normal(size=(5, 5, channels, 4))}
          },
          'classifier': {'kernel': rng.normal(size=(1, 1, 4, classes))},
          **more,
      },
      'batch_stats': {'backbone': {'norm': {'mean': rng.normal(size=4)}}},
  }


def assert_equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def lines(table):
  return [line.split() for line in table.splitlines()[1:]]


def test_everything_of_the_same_shape_is_taken():
  filled, table = warm_start.fill(tree(), tree(), channels=3)
  assert_equal(filled, tree())
  assert table == '3 of 3 variables fit.'


def test_other_classes_start_anew_and_are_named():
  new, old = tree(classes=5), tree()
  filled, table = warm_start.fill(new, old, channels=3)
  assert_equal(filled['params']['backbone'], old['params']['backbone'])
  assert_equal(filled['batch_stats'], old['batch_stats'])
  assert_equal(filled['params']['classifier'], new['params']['classifier'])
  assert table.startswith('2 of 3 variables fit.')
  said = '[1, 1, 4, 5] initialised anew: [1, 1, 4, 3] there'
  assert lines(table) == [['params/classifier/kernel', *said.split()]]


@pytest.mark.parametrize('channels', [1, 4])
def test_other_channels_see_a_grey_image_as_before(channels):
  new, old = tree(channels=channels), tree()
  filled, table = warm_start.fill(new, old, channels=channels)
  kernel = filled['params']['backbone']['stem']['kernel']
  before = old['params']['backbone']['stem']['kernel']
  assert kernel.shape == (5, 5, channels, 4)
  np.testing.assert_allclose(kernel.sum(2), before.sum(2), rtol=1e-5)
  assert 'mean over the 3 channels' in table


def test_a_kernel_that_does_not_see_the_image_is_not_spread():
  new, old = tree(), tree()
  new['params']['classifier']['kernel'] = np.ones((1, 1, 8, 3))
  filled, table = warm_start.fill(new, old, channels=3)
  assert_equal(filled['params']['classifier'], new['params']['classifier'])
  assert 'initialised anew: [1, 1, 4, 3] there' in table


def test_a_backbone_alone_is_taken_and_what_is_left_over_is_named():
  old = tree()
  del old['params']['classifier']
  old['params']['backbone']['classifier'] = {'bias': np.ones(1000)}
  filled, table = warm_start.fill(tree(), old, channels=3)
  assert_equal(filled['batch_stats'], old['batch_stats'])
  head = 'params/classifier/kernel [1, 1, 4, 3] initialised anew: not there'
  unused = 'params/backbone/classifier/bias [1000] there, but not used'
  assert lines(table) == [head.split(), unused.split()]


def test_init_only_takes_what_it_matches():
  new, old = tree(), tree()
  old['params']['classifier']['kernel'] += 1
  filled, table = warm_start.fill(new, old, channels=3, only='^backbone/')
  assert_equal(filled['params']['classifier'], new['params']['classifier'])
  assert_equal(filled['batch_stats'], old['batch_stats'])
  assert 'init_only leaves it out' in table


# With the class token of a ViT, and without, as windows have it.
@pytest.mark.parametrize('tokens', [[7], []])
def test_a_table_of_positions_is_resized(tokens):
  def positions(side):
    rows = np.linspace(-1, 1, side)[:, None] * np.ones(side)
    table = np.concatenate([tokens, rows.ravel()])[None, :, None]
    return {'embed': {'positions': table.astype(np.float32)}}

  new, old = tree(**positions(8)), tree(**positions(4))
  filled, table = warm_start.fill(new, old, channels=3)
  resized = filled['params']['embed']['positions'][0, :, 0]
  assert resized[: len(tokens)].tolist() == tokens
  grid = resized[len(tokens) :].reshape(8, 8)
  np.testing.assert_allclose(grid, grid[:, :1] * np.ones(8), atol=1e-6)
  assert (np.diff(grid[:, 0]) > 0).all()
  assert 'resized from (4, 4) to (8, 8)' in table


def test_nothing_that_fits_is_an_error():
  with pytest.raises(ValueError, match='No variable of config.init_from') as e:
    warm_start.fill(tree(), {'params': {'a': {'bias': np.ones(3)}}}, channels=3)
  assert 'params/a/bias' in str(e.value)
  with pytest.raises(ValueError, match='and config.init_only'):
    warm_start.fill(tree(), tree(), channels=3, only='encoder')
  with pytest.raises(ValueError, match='no regular expression'):
    warm_start.fill(tree(), tree(), channels=3, only='(')


def get_config(**options):
  config = tiny.get_config()
  config.update(total_steps=2, checkpoint_every=2, eval_every=2, **options)
  return config


def read(workdir, step):
  return Checkpoints(workdir.checkpoints, read_only=True).read(step)


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory):
  """Weights as `segjax.convert` writes them."""
  workdir = Workdir(tmp_path_factory.mktemp('pretrained'))
  state = experiment.training(get_config(seed=1)).init()
  mutable = jax.tree.map(lambda x: x + 0.1, state.mutable)
  checkpoints = Checkpoints(workdir.checkpoints)
  checkpoints.save(0, {'params': state.params, 'mutable': mutable})
  checkpoints.close()
  return workdir


@pytest.fixture(scope='module')
def frozen_config(pretrained):
  config = get_config(init_from=str(pretrained.path))
  config.optim.factors = (('^backbone/', 0.0),)
  config.optim.weight_decay = 0.1
  config.optim.clip = 1.0
  return config


@pytest.fixture(scope='module')
def finished(frozen_config, tmp_path_factory):
  workdir = Workdir(tmp_path_factory.mktemp('finished'))
  train.run(frozen_config, workdir)
  return workdir


def test_a_frozen_backbone_stays_bit_for_bit(pretrained, finished):
  before, after = read(pretrained, 0), read(finished, 2)
  for ours, theirs in (
      (after['params'], before['params']),
      (after['ema'], before['params']),
      (after['mutable']['batch_stats'], before['mutable']['batch_stats']),
  ):
    assert_equal(ours['backbone'], theirs['backbone'])
    for a, b in zip(
        *(jax.tree.leaves(t['aspp']) for t in (ours, theirs)), strict=True
    ):
      assert not np.array_equal(a, b)


def test_a_run_goes_on_from_its_own_checkpoint_first(
    frozen_config, finished, monkeypatch
):
  monkeypatch.setattr(warm_start, 'start', None)
  state = train.initial_state(
      experiment.training(frozen_config), Checkpoints(finished.checkpoints)
  )
  assert state.step == 2
  assert_equal(jax.device_get(state.params), read(finished, 2)['params'])


def test_a_folder_without_checkpoints_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='no checkpoint in .*none'):
    warm_start.read(str(tmp_path / 'none'))
