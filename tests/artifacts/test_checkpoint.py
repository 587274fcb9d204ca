import json
import math
import shutil

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.artifacts import checkpoint
from segjax.artifacts.checkpoint import Checkpoints


class State(flax.struct.PyTreeNode):
  step: jax.Array
  params: dict
  mutable: dict
  ema: dict


def state(step=0, width=3, ema=True):
  kernel = jnp.arange(width, dtype=jnp.float32) + step / 7
  params = {'conv': {'kernel': kernel}}
  mutable = {'batch_stats': {'mean': kernel.astype(jnp.bfloat16)}}
  average = {'conv': {'kernel': -kernel}} if ema else {}
  return State(jnp.int32(step), params, mutable, average)


def save(folder, scores, keep=2):
  """Saves step 1, 2, ... with these scores; None is no evaluation."""
  checkpoints = Checkpoints(folder, keep)
  for step, score in enumerate(scores, 1):
    named = None if score is None else {'mIoU': score}
    checkpoints.save(step, state(step), named)
  checkpoints.close()


def on_disk(folder):
  return sorted(int(path.name) for path in folder.iterdir())


def damage(folder):
  """Cuts every file in half."""
  for path in folder.rglob('*'):
    if path.is_file():
      path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)
  dtypes = [jax.tree.map(lambda x: x.dtype, tree) for tree in (one, other)]
  assert dtypes[0] == dtypes[1]


def test_a_folder_may_be_named_from_the_current_one(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  save('here', [None])
  assert_equal(Checkpoints('here').restore(state()), state(1))


@pytest.mark.parametrize(
    'name',
    ['run[lr=0.1]', '[1]', 'a*b', 'a?b', 'a\\b', 'a[!b]', 'a b', 'a\nb', 'ü道'],
)
def test_a_folder_may_have_any_name(tmp_path, name):
  save(tmp_path / name / 'checkpoints', [0.1, 0.4, 0.2])
  folder = tmp_path / name / 'checkpoints'
  assert on_disk(folder) == [2, 3]
  step, variables = checkpoint.best(folder)
  assert step == 2
  assert_equal(variables['params'], state(2).ema)
  cut_scores(folder / '3')
  assert_equal(Checkpoints(folder).restore(state()), state(2))
  assert {path.name for path in folder.iterdir()} == {'2', 'damaged-3'}


def test_a_state_comes_back_bit_for_bit(tmp_path):
  save(tmp_path, [None] * 5)
  assert_equal(Checkpoints(tmp_path).restore(state()), state(5))


def test_where_nothing_was_saved_nothing_is_restored(tmp_path):
  assert Checkpoints(tmp_path / 'new').restore(state()) is None


@pytest.mark.parametrize(
    ('scores', 'kept'),
    [
        ([None] * 6, [5, 6]),
        ([0.1, 0.9, 0.3, 0.2, 0.8, 0.7], [2, 5, 6]),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [5, 6]),
        ([None, 0.4, None, 0.3, None, None], [2, 5, 6]),
        ([math.nan, 0.0, None, None, None, math.nan], [2, 5, 6]),
    ],
)
def test_the_newest_and_the_best_are_kept(tmp_path, scores, kept):
  save(tmp_path, scores)
  assert on_disk(tmp_path) == kept


def test_there_are_never_more_on_disk_than_configured(tmp_path):
  checkpoints = Checkpoints(tmp_path, keep=1)
  for step in range(1, 8):
    checkpoints.save(step, state(step), {'mIoU': 1 / step})
    checkpoints.wait()
    assert on_disk(tmp_path) == sorted({1, step})


def test_a_new_opening_keeps_what_the_old_one_would(tmp_path):
  save(tmp_path, [0.9, 0.1, 0.2])
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(4, state(4), {'mIoU': 0.3})
  checkpoints.close()
  assert on_disk(tmp_path) == [1, 3, 4]


def test_scores_survive(tmp_path):
  scores = {'mIoU': 0.1 + 0.2, 'IoU/a b/c': math.nan}
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(1, state(1), scores)
  checkpoints.save(2, state(2))
  checkpoints.close()
  checkpoints = Checkpoints(tmp_path, read_only=True)
  assert checkpoints.scores(1) == pytest.approx(scores, abs=0, nan_ok=True)
  assert checkpoints.scores(2) == {}
  assert checkpoints.scores(3) == {}


def test_the_best_is_that_of_the_highest_score(tmp_path):
  save(tmp_path, [0.1, 0.9, math.nan, 0.3])
  step, variables = checkpoint.best(tmp_path)
  assert step == 2
  assert_equal(variables['batch_stats'], state(2).mutable['batch_stats'])


@pytest.mark.parametrize('ema', [True, False])
def test_the_variables_of_the_best_are_averages_if_there_are_any(tmp_path, ema):
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(1, state(1, ema=ema))
  checkpoints.close()
  _, variables = checkpoint.best(tmp_path)
  expected = state(1).ema if ema else state(1).params
  assert_equal(variables['params'], expected)


def test_without_any_score_the_best_is_the_newest(tmp_path):
  save(tmp_path, [None, None, None])
  assert checkpoint.best(tmp_path)[0] == 3


def test_where_there_is_no_checkpoint_the_best_is_an_error(tmp_path):
  with pytest.raises(FileNotFoundError, match='no checkpoint in .*/new'):
    checkpoint.best(tmp_path / 'new')
  assert not (tmp_path / 'new').exists()


def test_a_best_one_that_is_damaged_is_an_error_that_names_it(tmp_path):
  save(tmp_path, [0.9, 0.1])
  damage(tmp_path / '1' / 'default')
  with pytest.raises(OSError, match=f'{tmp_path}/1, the best, cannot be read'):
    checkpoint.best(tmp_path)
  assert on_disk(tmp_path) == [1, 2]


def test_the_best_is_found_beside_damaged_ones(tmp_path):
  save(tmp_path, [0.9, 0.1])
  damage(tmp_path / '2')
  assert checkpoint.best(tmp_path)[0] == 1


def cut_scores(folder):
  damage(folder / 'metrics')


def change_scores(folder):
  path = folder / 'metrics' / 'metrics'
  path.write_text(path.read_text().replace('0.3', '0.8'))


def lose_arrays(folder):
  shutil.rmtree(folder / 'default' / 'd')


def lose_everything(folder):
  shutil.rmtree(folder)
  folder.mkdir()


@pytest.mark.parametrize(
    'spoil',
    [damage, cut_scores, change_scores, lose_arrays, lose_everything],
)
def test_a_damaged_newest_one_is_set_aside_for_the_one_before(
    tmp_path, caplog, spoil
):
  save(tmp_path, [0.1, 0.2, 0.3])
  spoil(tmp_path / '3')
  checkpoints = Checkpoints(tmp_path)
  assert_equal(checkpoints.restore(state()), state(2))
  assert f'{tmp_path}/3 cannot be read' in caplog.text
  assert 'damaged-3' in caplog.text
  assert (tmp_path / 'damaged-3').is_dir()
  assert checkpoints.steps() == [2]

  # The run gets there again.
  checkpoints.save(3, state(3), {'mIoU': 0.3})
  checkpoints.close()
  assert_equal(Checkpoints(tmp_path).restore(state()), state(3))
  assert (tmp_path / 'damaged-3').is_dir()


def test_a_checkpoint_of_a_version_without_checksums_is_read(tmp_path):
  save(tmp_path, [0.1])
  path = tmp_path / '1' / '_CHECKPOINT_METADATA'
  about = json.loads(path.read_text())
  assert about['custom_metadata'].pop('crc32')
  path.write_text(json.dumps(about))
  assert_equal(Checkpoints(tmp_path).restore(state()), state(1))


def test_when_all_are_damaged_nothing_is_restored_and_all_are_kept(tmp_path):
  save(tmp_path, [0.2, 0.1])
  damage(tmp_path / '1')
  damage(tmp_path / '2')
  checkpoints = Checkpoints(tmp_path)
  assert checkpoints.restore(state()) is None
  names = {path.name for path in tmp_path.iterdir()}
  assert names == {'damaged-1', 'damaged-2'}


@pytest.mark.parametrize(
    ('other', 'difference'),
    [
        (state(width=4), r'params/conv/kernel: \(3,\) in .*, \(4,\) in the'),
        (state(ema=False), r'ema/conv/kernel: \(3,\) in .*, absent in the'),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_by_names(
    tmp_path, other, difference
):
  save(tmp_path, [0.1])
  with pytest.raises(ValueError, match='is of another model') as error:
    Checkpoints(tmp_path).restore(other)
  assert error.match(difference)
  assert on_disk(tmp_path) == [1]


def test_a_checkpoint_that_cannot_be_written_is_an_error_that_names_the_folder(
    tmp_path,
):
  save(tmp_path / 'a', [0.1])
  checkpoints = Checkpoints(tmp_path / 'a')
  (tmp_path / 'a').rename(tmp_path / 'b')
  (tmp_path / 'a').write_text('a file')
  with pytest.raises(OSError, match='could not be written to .*/a') as error:
    checkpoints.save(2, state(2))
  assert 'The last good one is step 1' in str(error.value)


def test_what_a_killed_save_left_is_no_checkpoint(tmp_path):
  save(tmp_path, [0.1])
  left = tmp_path / '2.orbax-checkpoint-tmp'
  shutil.copytree(tmp_path / '1', left)
  checkpoints = Checkpoints(tmp_path)
  assert_equal(checkpoints.restore(state()), state(1))
  checkpoints.save(2, state(2))
  checkpoints.close()
  assert not left.exists()
