import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import contextnet

CLASSES = 4
SMALL = dict(
    detail=(4, 6, 8),
    stem=4,
    stages=((1, 4, 1, 1), (2, 6, 2, 2), (2, 8, 1, 2)),
    features=8,
    aux_features=4,
)


def traced(size, **fields):
  """Outputs, intermediate values and variables, as shapes."""
  model = models.create('contextnet', CLASSES, **{**SMALL, **fields})
  return jax.eval_shape(
      lambda x: model.init_with_output(
          jax.random.key(0), x, capture_intermediates=True
      ),
      jax.ShapeDtypeStruct((1, *size, 3), jnp.float32),
  )


def part(variables, name):
  return variables['intermediates'][name]['__call__'][0].shape[1:3]


# A first convolution without padding has one row less where sides are even.
@pytest.mark.parametrize(
    ('size', 'padding', 'detail', 'context'),
    [
        ((97, 161), 0, (12, 20), (3, 5)),
        ((97, 161), 1, (13, 21), (3, 5)),
        ((128, 256), 0, (16, 32), (4, 8)),
        ((60, 90), 1, (8, 12), (2, 3)),
    ],
)
def test_branches_see_the_image_and_a_quarter_of_it(
    size, padding, detail, context
):
  out, variables = traced(size, padding=padding)
  assert part(variables, 'detail') == part(variables, 'fusion') == detail
  assert part(variables, 'context') == context
  assert out['logits'].shape == out['aux']['detail'].shape
  assert out['logits'].shape == (1, *size, CLASSES)


def test_corners_of_the_small_image_are_those_of_the_image():
  image = np.arange(9 * 13, dtype=np.float32).reshape(1, 9, 13, 1)
  small = contextnet.shrink(image, 0.25)
  assert small.shape == (1, 2, 3, 1)
  np.testing.assert_allclose(small[0, :, ::2, 0], image[0, ::8, ::12, 0])


def test_every_block_expands_even_by_a_factor_of_one():
  _, variables = traced((64, 64))
  blocks = variables['params']['context']
  assert {name for name in blocks if 'expand' in blocks[name]} == {
      'stage1_0',
      'stage2_0',
      'stage2_1',
      'stage3_0',
  }


def test_the_papers_network_has_one_classifier_alone():
  out, variables = traced((64, 64), head_depth=0, aux_level='')
  names = {'detail', 'context', 'fusion', 'classifier'}
  assert set(variables['params']) == names
  assert out['aux'] == {}


def test_the_dilation_is_that_of_the_fusion():
  fusion = contextnet.Fusion(features=2, dilation=4)
  detail = np.zeros((1, 11, 11, 2), np.float32)
  context = np.ones((1, 11, 11, 2), np.float32)
  variables = jax.tree.map(
      lambda x: np.full(x.shape, 0.5, np.float32),
      jax.eval_shape(
          lambda: fusion.init(jax.random.key(0), detail, context, False)
      ),
  )

  @jax.jit
  @jax.grad
  def gradient(context):
    return fusion.apply(variables, detail, context, False)[0, 5, 5].sum()

  seen = np.argwhere(np.abs(gradient(context)[0]).max(-1)) - 5
  steps = (-4, 0, 4)
  assert {tuple(map(int, place)) for place in seen} == {
      (i, j) for i in steps for j in steps
  }
