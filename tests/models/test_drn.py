import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax import optim
from segjax.layers.upsample import bilinear
from segjax.ops.resize import resize

CLASSES = 4


def test_scores_are_interpolated_and_cut_to_the_image(random_variables):
  model = models.create('drn', CLASSES, backbone='drn/tiny')
  image = jax.random.normal(jax.random.key(0), (1, 37, 51, 3))
  variables = random_variables(model, image.shape)
  variables['params']['upsample']['kernel'] = bilinear(
      None, (16, 16, 1, CLASSES)
  )
  out, state = jax.jit(
      lambda v, x: model.apply(
          v, x, capture_intermediates=True, mutable=['intermediates']
      )
  )(variables, image)
  inner = state['intermediates']
  (scores,), (whole,) = (
      inner[part]['__call__'] for part in ('classifier', 'upsample')
  )
  assert scores.shape == (1, 5, 7, CLASSES)
  assert whole.shape == (1, 40, 56, CLASSES)
  assert out['logits'].shape == (1, 37, 51, CLASSES)
  np.testing.assert_array_equal(out['logits'], whole[:, :37, :51])
  # At the border a transposed convolution fades.
  inside = slice(None), slice(4, -4), slice(4, -4)
  np.testing.assert_allclose(
      whole[inside], resize(scores, (40, 56))[inside], rtol=1e-4, atol=1e-4
  )


def test_a_backbone_with_another_stride_is_refused():
  backbone = 'resnet/tiny(output_stride=16)'
  model = models.create('drn', CLASSES, backbone=backbone)
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  with pytest.raises(ValueError, match='this system sets output_stride=8'):
    jax.eval_shape(model.init, jax.random.key(0), image)


@pytest.mark.parametrize(
    ('arg', 'steps', 'batch'),
    [
        ('dataset=cityscapes', 23_000, 32),
        ('dataset=cityscapes,backbone=drn/d_38', 23_000, 32),
        ('dataset=cityscapes,backbone=drn/d_105', 93_000, 16),
        ('dataset=shapes', 700, 16),
    ],
)
def test_recipes_differ_between_backbones_and_freeze_the_upsampling(
    arg, steps, batch
):
  config = importlib.import_module('configs.drn').get_config(arg)
  assert (config.total_steps, config.batch_size) == (steps, batch)
  for name, factor in (('upsample/kernel', 0), ('classifier/kernel', 1)):
    assert optim.factor(config.optim.factors, name) == factor
