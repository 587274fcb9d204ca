import importlib

from flax import linen as nn
import jax
import jax.numpy as jnp
import pytest

from segjax import models
from segjax import optim

IMAGE = jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32)


@pytest.mark.parametrize('mobile', [False, True])
def test_every_level_is_projected_summed_and_pooled(mobile):
  """Records what the chains read, from the coarsest level on."""
  read = []

  def record(call, args, kwargs, context):
    if type(context.module).__name__ == 'ChainedResidualPooling':
      read.append(args[0].shape[1:])
    return call(*args, **kwargs)

  fields = dict(top_features=16)
  if mobile:
    fields = dict(top_features=8, backbone='mobilenet/v2_drsleep')
  model = models.create(
      'lw_refinenet',
      21,
      **{'backbone': 'resnet/tiny', 'features': 8, **fields},
      mobile=mobile,
  )
  with nn.intercept_methods(record):
    out, variables = jax.eval_shape(
        model.init_with_output, jax.random.key(0), IMAGE
    )
  assert out['logits'].shape == (2, 65, 97, 21)
  assert read == [
      (3, 4, 8 if mobile else 16),
      (5, 7, 8),
      (9, 13, 8),
      (17, 25, 8),
  ]
  params = variables['params']
  inputs = {
      name: params[name]['kernel'].shape[2]
      for name in params
      if name.startswith(('reduce', 'skip'))
  }
  if mobile:
    assert inputs == dict(
        reduce_c5=320,
        reduce_c5_inner=160,
        reduce_c4=96,
        reduce_c4_inner=64,
        reduce_c3=32,
        reduce_c2=24,
    )
  else:
    assert inputs == dict(
        reduce_c5=128,
        reduce_c4=64,
        skip_c4=8,
        reduce_c3=32,
        skip_c3=8,
        reduce_c2=16,
        skip_c2=8,
    )


def test_a_mobilenet_has_the_decoder_that_its_weights_have():
  configs = importlib.import_module('configs.lw_refinenet')
  config = configs.get_config('voc2012,backbone=mobilenet/v2_drsleep')
  assert config.model.mobile
  assert config.model.top_features == 256
  assert not configs.get_config('voc2012').model.mobile


def test_the_recipe_freezes_norms_and_trains_the_decoder_faster():
  configs = importlib.import_module('configs.lw_refinenet')
  factors = configs.get_config('voc2012').optim.factors
  rates = [
      optim.factor(factors, name)
      for name in (
          'backbone/stem/norm/scale',
          'backbone/stage1_0/conv1/conv/kernel',
          'reduce_c5/kernel',
      )
  ]
  assert rates == [0.0, 0.1, 1.0]
