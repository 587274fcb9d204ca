import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models.psanet import PointwiseAttention
from segjax.ops import psa_mask

CLASSES = 4


def shapes_of(size, **fields):
  """Outputs, variables and results of parts of a small model, as shapes."""
  model = models.create(
      'psanet',
      CLASSES,
      **{
          'backbone': 'resnet/tiny(output_stride=8)',
          'features': 8,
          'mask': (3, 5),
          **fields,
      },
  )
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)

  def run(image):
    variables = model.init(jax.random.key(0), image)
    return model.apply(
        variables, image, capture_intermediates=True, mutable=['intermediates']
    )

  out, inner = jax.eval_shape(run, image)
  return out, inner['intermediates']


# Maps of 1x1, of two odd, two even sides, and one of each.
@pytest.mark.parametrize(
    ('size', 'aligned', 'halves'),
    [
        ((8, 8), (1, 1), (1, 1)),
        ((33, 49), (3, 4), (3, 4)),
        ((32, 48), (2, 3), (2, 3)),
        ((33, 48), (3, 3), (2, 3)),
    ],
)
@pytest.mark.parametrize('align_corners', [False, True])
def test_images_may_have_any_size(size, aligned, halves, align_corners):
  out, inner = shapes_of(size, align_corners=align_corners)
  assert out['logits'].shape == (2, *size, CLASSES)
  rows, columns = aligned if align_corners else halves
  for name in ('collect', 'distribute'):
    attention = inner[name]['__call__'][0]
    assert attention.shape == (2, rows, columns, 8)
  # Padding makes the projected map larger by 2.
  projected = inner['project']['__call__'][0]
  assert projected.shape == (2, rows + 2, columns + 2, 128)


@pytest.mark.parametrize('name', ['collect', 'distribute'])
def test_one_direction_has_the_parts_of_one(name):
  _, inner = shapes_of((33, 33), directions=name)
  assert {'collect', 'distribute'} & set(inner) == {name}


def test_an_unknown_direction_is_refused_with_the_names():
  with pytest.raises(ValueError, match="'up': .* collect, distribute, both"):
    shapes_of((33, 33), directions='up')


# The position that reads predicts the weights to collect, and the position that
# is read those to distribute.
@pytest.mark.parametrize('name', ['collect', 'distribute'])
def test_attention_weighs_by_the_mask_of_one_of_a_pair(name):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1, 2, 3, 4)).astype(np.float32)
  layer = PointwiseAttention(6, (3, 5), getattr(psa_mask, name))
  variables = layer.init(jax.random.key(0), x, (2, 3), True, False)
  y = layer.apply(variables, x, (2, 3), True, False)

  def project(part, x):
    kernel = variables['params'][part]['conv']['kernel'][0, 0]
    return np.maximum(x @ kernel / np.sqrt(1 + 1e-5), 0)

  reduced = project('reduce', x[0])
  hidden = project('hidden', reduced)
  masks = hidden @ variables['params']['mask']['kernel'][0, 0]
  for r, c in np.ndindex(2, 3):
    weights = np.zeros((2, 3))
    for i, j in np.ndindex(2, 3):
      if name == 'collect':
        score = masks[r, c, (i - r + 1) * 5 + j - c + 2]
      else:
        score = masks[i, j, (r - i + 1) * 5 + c - j + 2]
      weights[i, j] = np.exp(score)
    expected = np.tensordot(weights / weights.sum(), reduced, 2)
    np.testing.assert_allclose(y[0, r, c], expected, atol=1e-5)


@pytest.mark.parametrize('dataset', ['cityscapes', 'ade20k', 'voc2012'])
def test_masks_of_the_recipes_cover_their_crop(dataset):
  config = importlib.import_module('configs.psanet').get_config(dataset)
  crop, _ = config.predict.window
  assert f'random_crop({crop}, ' in config.preprocess.train
  half = (crop - 1) // 16 + 1
  assert config.model.mask == (2 * half - 1, 2 * half - 1)
