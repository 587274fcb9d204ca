import importlib

import jax
import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.ops.resize import resize


def build(**fields):
  return models.create(
      'segfix', 10, backbone='hrnet/tiny(align_corners=True)', **fields
  )


def test_there_are_two_channels_of_outlines_and_one_a_direction(
    random_variables,
):
  model = build(features=8)
  image = jax.random.normal(jax.random.key(0), (1, 41, 50, 3))
  variables = random_variables(model, image.shape)
  out, state = model.apply(
      variables, image, capture_intermediates=True, mutable=['intermediates']
  )
  parts = state['intermediates']
  outline = parts['outline']['__call__'][0]
  assert outline.shape == (1, 11, 13, 2)
  assert parts['direction']['__call__'][0].shape == (1, 11, 13, 8)
  # Probabilities are computed before they are enlarged.
  boundary = jax.nn.softmax(outline)[..., 1:]
  expected = resize(boundary, (41, 50), align_corners=True)[..., 0]
  np.testing.assert_allclose(out['boundary'], expected, rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(
      out['logits'][..., :2],
      resize(outline, (41, 50), align_corners=True),
      rtol=1e-5,
      atol=1e-5,
  )


def test_activated_norms_have_the_same_variables():
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  plain, activated = (
      jax.eval_shape(build(activated=x).init, jax.random.key(0), image)
      for x in (False, True)
  )
  assert plain == activated


def test_directions_are_made_of_whole_images_in_their_final_size():
  module = importlib.import_module('configs.segfix')
  for arg in ('', 'cityscapes', 'ade20k', 'camvid,small=True'):
    config = module.get_config(arg)
    assert config.task == 'boundaries'
    ops = [op.partition('(')[0] for op in config.preprocess.train.split('|')]
    place = ops.index('directions')
    assert not {'random_scale', 'resize'} & set(ops[place:])
    assert 'random_crop' in ops[place:]
