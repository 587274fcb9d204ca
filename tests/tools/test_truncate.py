import json

from flax import traverse_util
import numpy as np
import pytest

from segjax.artifacts import checkpoint
from segjax.artifacts.workdir import Workdir
from segjax.tools import truncate
from tests import saved_run
from tests import tiny


def draw(*shape):
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_the_largest_singular_values_are_kept():
  kernel = draw(3, 3, 2, 8)
  half, numbers = truncate.truncate(kernel, 0.5)
  matrix = kernel.reshape(18, 8)
  values = np.linalg.svd(matrix, compute_uv=False)
  assert np.linalg.matrix_rank(half.reshape(18, 8), tol=1e-4) == 4
  # No matrix of that rank is nearer.
  distance = np.linalg.norm(matrix - half.reshape(18, 8))
  np.testing.assert_allclose(distance, np.linalg.norm(values[4:]), rtol=1e-5)
  assert numbers == 4 * (18 + 8)
  assert (half.shape, half.dtype) == (kernel.shape, kernel.dtype)


def test_all_values_leave_the_kernel_and_its_numbers():
  kernel = draw(5, 4)
  whole, numbers = truncate.truncate(kernel, 1.0)
  np.testing.assert_allclose(whole, kernel, atol=1e-6)
  assert numbers == kernel.size


def test_kernels_alone_are_truncated_but_for_those_to_skip():
  params = {
      'first': {'kernel': draw(4, 4), 'bias': draw(4)},
      'second': {'kernel': draw(8, 8), 'bias': draw(8)},
  }
  truncated, before, after = truncate.truncate_all(params, 0.25, '^first/')
  changed = {
      '/'.join(path)
      for path, value in traverse_util.flatten_dict(truncated).items()
      if not np.array_equal(value, params[path[0]][path[1]])
  }
  assert changed == {'second/kernel'}
  assert (before, after) == (64, 2 * 16)


@pytest.mark.parametrize(
    ('ratio', 'skip', 'message'),
    [(0.0, '', 'above 0'), (1.5, '', '1 at most'), (0.5, 'k', 'no kernel')],
)
def test_wrong_arguments_are_refused(ratio, skip, message):
  with pytest.raises(ValueError, match=message):
    truncate.truncate_all({'a': {'kernel': draw(2, 2)}}, ratio, skip)


def test_a_run_is_written_as_another_with_its_config_and_classes(tmp_path):
  params = {'a': {'kernel': draw(8, 8)}}
  mutable = {'batch_stats': {'mean': draw(8)}}
  run = saved_run.save(
      tmp_path / 'run', tiny.get_config(), {'params': params, **mutable}, step=7
  )
  output = Workdir(tmp_path / 'half')

  assert truncate.write(run, output, 0.25) == (64, 32)
  step, variables = checkpoint.best(output.checkpoints)
  assert step == 7
  assert np.linalg.matrix_rank(variables['params']['a']['kernel']) == 2
  np.testing.assert_array_equal(
      variables['batch_stats']['mean'], mutable['batch_stats']['mean']
  )
  assert json.loads(output.config.read_text()) == json.loads(
      run.config.read_text()
  )
  assert output.labels.read_text() == run.labels.read_text()
  with pytest.raises(ValueError, match='choose another --output'):
    truncate.write(run, output, 0.5)
