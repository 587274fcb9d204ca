import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import exfuse


def test_a_pixel_is_the_mean_of_what_its_neighbours_predict_for_it():
  side, classes, height, width = 3, 2, 4, 5
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1, height, width, side**2 * classes)).astype(np.float32)
  expected = np.zeros((height, width, classes))
  for i, j in np.ndindex(height, width):
    for row, column in np.ndindex(side, side):
      y, z = i + row - 1, j + column - 1
      if 0 <= y < height and 0 <= z < width:
        group = row * side + column
        expected[i, j] += x[0, y, z, group * classes :][:classes] / side**2
  np.testing.assert_allclose(
      exfuse.adjacent_mean(x, side)[0], expected, atol=1e-6
  )


def test_every_coarser_level_gates_a_finer_one():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1, 6, 8, 3)).astype(np.float32)
  coarser = {
      'c4': np.ones((1, 3, 4, 2), np.float32),
      'c5': np.ones((1, 2, 2, 5), np.float32),
  }
  layer = exfuse.SemanticEmbedding()
  shapes = jax.eval_shape(layer.init, jax.random.key(0), x, coarser)
  # Gates are their biases.
  variables = jax.tree.map(lambda v: np.zeros(v.shape, np.float32), shapes)
  variables['params']['c4']['bias'] += np.float32([1, 2, 3])
  variables['params']['c5']['bias'] += np.float32([-1, 1, 2])
  np.testing.assert_allclose(
      layer.apply(variables, x, coarser), x * np.float32([-1, 2, 6]), rtol=1e-6
  )


@pytest.mark.parametrize(
    ('size', 'image_classes'), [((64, 96), 0), ((33, 50), 7)]
)
def test_scores_meet_at_the_sizes_of_the_levels(size, image_classes):
  model = models.create(
      'exfuse', 3, backbone='resnet/tiny', image_classes=image_classes
  )
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out['logits'].shape == out['aux']['c4'].shape == (2, *size, 3)
  widths = {
      level: variables['params'][f'score_{level}']['left2']['bias'].shape
      for level in exfuse.LEVELS
  }
  assert widths == dict(c2=(27,), c3=(27,), c4=(3,), c5=(3,))
  supervised = {n for n in variables['params'] if n.startswith('supervise')}
  if image_classes:
    assert {x.shape for x in out['image_logits'].values()} == {(2, 7)}
    assert len(supervised) == 3
  else:
    assert 'image_logits' not in out
    assert not supervised
