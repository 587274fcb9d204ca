import functools
import importlib

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.models import refinenet


def test_the_two_coarsest_levels_have_channels_of_their_own():
  model = models.create('refinenet', 21, backbone='resnet/tiny')
  image = jax.ShapeDtypeStruct((2, 33, 41, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out['logits'].shape == (2, 33, 41, 21)
  widths = {
      name: variables['params'][name]['reduce']['kernel'].shape[-1]
      for name in ('refine_c5', 'refine_c4', 'refine_c3', 'refine_c2')
  }
  assert widths == dict(
      refine_c5=512, refine_c4=256, refine_c3=256, refine_c2=256
  )
  # Only what is summed is projected, and the last block hands nothing on.
  assert 'skip' not in variables['params']['refine_c5']
  assert sorted(n for n in variables['params'] if 'narrow' in n) == [
      'narrow_c2',
      'narrow_c3',
      'narrow_c4',
  ]


def test_a_block_is_told_of_the_coarser_features():
  block = refinenet.RefinementBlock(4)
  skip = jax.random.normal(jax.random.key(0), (1, 5, 6, 3))
  coarse = jax.random.normal(jax.random.key(1), (1, 3, 3, 4))
  shapes = jax.eval_shape(block.init, jax.random.key(0), skip, coarse)
  rng = np.random.default_rng(0)
  variables = jax.tree.map(
      lambda v: 0.3 * rng.normal(size=v.shape).astype(np.float32), shapes
  )
  apply = functools.partial(block.apply, variables)
  told, untold = apply(skip, coarse), apply(skip, 0 * coarse)
  assert told.shape == (1, 5, 6, 4)
  # The finest pixel of each corner is told, however large the skip is.
  assert (np.abs(told - untold).max(-1) > 1e-4).all()


def test_dropout_is_on_the_two_coarsest_levels_and_before_the_scores():
  places = []

  def record(call, args, kwargs, context):
    if type(context.module).__name__ == 'Dropout':
      places.append(args[0].shape[-1])
    return call(*args, **kwargs)

  model = models.create(
      'refinenet', 3, backbone='resnet/tiny', features=8, top_features=16
  )
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  with nn.intercept_methods(record):
    jax.eval_shape(model.init, jax.random.key(0), image)
  assert sorted(places) == [8, 64, 128]


def test_the_recipe_freezes_the_norms_for_batches_of_one():
  config = importlib.import_module('configs.refinenet').get_config('voc2012')
  assert config.batch_size == 1
  assert config.optim.factors[0] == ('^backbone/.*norm/', 0.0)
