import importlib

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax import optim

CLASSES = 4


def test_scores_lie_at_every_eighth_pixel(random_variables):
  backbone = 'resnet38/tiny(output_stride=8)'
  model = models.create('resnet38', CLASSES, backbone=backbone, features=8)
  image = jax.random.normal(jax.random.key(0), (1, 37, 51, 3))
  variables = random_variables(model, image.shape)
  out, state = jax.jit(
      lambda v, x: model.apply(
          v, x, capture_intermediates=True, mutable=['intermediates']
      )
  )(variables, image)
  (scores,) = state['intermediates']['classifier']['__call__']
  assert scores.shape == (1, 5, 7, CLASSES)
  assert out['logits'].shape == (1, 37, 51, CLASSES)
  scale = np.abs(scores).max()
  np.testing.assert_allclose(
      out['logits'][:, ::8, ::8], scores, atol=1e-5 * scale
  )
  np.testing.assert_allclose(
      out['logits'][:, 4, ::8],
      (scores[:, 0] + scores[:, 1]) / 2,
      atol=1e-5 * scale,
  )


def test_both_convolutions_of_the_head_are_dilated():
  found = {}

  def record(call, args, kwargs, context):
    if isinstance(context.module, nn.Conv):
      found['/'.join(context.module.path)] = context.module.kernel_dilation
    return call(*args, **kwargs)

  model = models.create('resnet38', CLASSES, backbone='resnet38/tiny')
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  with nn.intercept_methods(record):
    jax.eval_shape(model.init, jax.random.key(0), image)
  assert (found['fuse'], found['classifier']) == (12, 12)


@pytest.mark.parametrize(
    ('stage', 'rate', 'last'), [('first', 1.6e-3, 1.6e-3), ('second', 8e-4, 0)]
)
def test_the_second_stage_falls_to_0(stage, rate, last):
  module = importlib.import_module('configs.resnet38')
  config = module.get_config(f'dataset=cityscapes,stage={stage}')
  learning_rate = optim.schedule(config.total_steps, **config.lr)
  np.testing.assert_allclose(learning_rate(0), rate, rtol=1e-6)
  np.testing.assert_allclose(
      learning_rate(config.total_steps - 1), last, rtol=1e-6
  )
  assert 'dropout=(0.3, 0.5)' in config.model.backbone
