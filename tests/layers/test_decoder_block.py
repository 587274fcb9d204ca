import jax
import numpy as np

from segjax.layers import remat
from segjax.layers.decoder_block import DecoderBlock


def arrays():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 3, 4, 6)).astype(np.float32)
  skip = rng.normal(size=(2, 5, 7, 3)).astype(np.float32)  # Not the double.
  return x, skip


def test_features_get_the_odd_size_of_the_skip_and_come_first():
  x, skip = arrays()
  block = DecoderBlock(2)
  variables = block.init(jax.random.key(0), x, skip, skip, False)
  # The first convolution copies one channel of each input, the second both.
  kernel = np.zeros((3, 3, 9, 2), np.float32)
  kernel[1, 1, 0, 0] = kernel[1, 1, 6, 1] = 1
  params = variables['params']
  params['conv1']['conv']['kernel'] = kernel
  params['conv2']['conv']['kernel'] = np.eye(2) * (np.arange(9) == 4).reshape(
      3, 3, 1, 1
  )
  y = block.apply(variables, x, skip, skip, False) * (1 + 1e-5)
  rows, columns = [0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2, 3]
  nearest = x[:, rows][:, :, columns, 0]
  np.testing.assert_allclose(y[..., 0], np.maximum(nearest, 0), rtol=1e-5)
  np.testing.assert_allclose(y[..., 1], np.maximum(skip[..., 0], 0), rtol=1e-5)


def test_scse_stands_before_the_convolutions_where_there_is_a_skip():
  x, skip = arrays()

  def names(last):
    variables = jax.eval_shape(
        lambda: DecoderBlock(2, scse='sum').init(
            jax.random.key(0), x, skip, last, False
        )
    )
    return set(variables['params'])

  assert names(skip) == {'scse1', 'conv1', 'conv2', 'scse2'}
  assert names(None) == {'conv1', 'conv2', 'scse2'}


def test_a_block_may_be_computed_again_in_the_backward_pass():
  x, skip = arrays()
  block = DecoderBlock(2)
  with remat.rematerialized():
    variables = jax.eval_shape(
        lambda: block.init(jax.random.key(0), x, skip, skip, False)
    )
    gradient = jax.eval_shape(
        jax.grad(lambda v: block.apply(v, x, skip, skip, False).sum()),
        variables,
    )
  assert gradient == variables
