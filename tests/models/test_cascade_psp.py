import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.models import cascade_psp

TINY = dict(
    backbone='resnet/tiny(output_stride=8)',
    features=8,
    up_features=(6, 4, 4),
    head_features=4,
)


def given(size=(32, 40)):
  image = jax.random.normal(jax.random.key(0), (1, *size, 3))
  mask = np.zeros((1, *size), np.float32)
  mask[:, 8:24, 10:30] = 1
  return image, mask


def test_the_cascade_begins_with_its_second_pass_where_the_first_is_given(
    random_variables,
):
  model = models.create('cascade_psp', 1, **TINY)
  image, mask = given()
  variables = random_variables(model, image.shape)
  apply = jax.jit(model.apply)
  whole = apply(variables, image, mask)
  # What the second pass reads is tanh of the first one's scores.
  first = (np.tanh(whole['aux']['pass1_stride8'][..., 0]) + 1) / 2
  rest = apply(variables, image, mask, first)
  assert set(whole['aux']) - set(rest['aux']) == {'pass1_stride8'}
  np.testing.assert_allclose(rest['logits'], whole['logits'], atol=1e-3)
  other = apply(variables, image, mask, 1 - first)
  assert np.abs(other['logits'] - whole['logits']).max() > 0.01


def test_every_pass_takes_its_own_statistics():
  model = models.create('cascade_psp', 1, **TINY)
  image, mask = given()
  passes = []

  def count(call, args, kwargs, context):
    if context.module.name == 'backbone':
      passes.append(args[1])
    return call(*args, **kwargs)

  with cascade_psp.nn.intercept_methods(count):
    jax.eval_shape(
        functools.partial(model.init, train=True),
        jax.random.key(0),
        image,
        mask,
    )
  assert passes == [True] * 3


def test_the_loss_is_of_six_outputs_where_pixels_are_labelled():
  rng = np.random.default_rng(0)
  names = ('pass1_stride8', 'pass2_stride8', 'pass2_stride4')
  names += ('pass3_stride8', 'pass3_stride4')
  shape = 1, 8, 8, 1
  out = {
      'logits': jnp.asarray(rng.normal(size=shape), jnp.float32),
      'aux': {
          n: jnp.asarray(rng.normal(size=shape), jnp.float32) for n in names
      },
  }
  label = rng.integers(0, 2, (1, 8, 8)).astype(np.uint8)
  label[:, 5:] = 255

  def loss(out, **weights):
    batch = {'label': label}
    return cascade_psp.loss(out, batch, None, base=None, **weights)

  total, parts = loss(out)
  assert set(parts) == {*names, 'pass3_stride1', 'gradient'}
  np.testing.assert_allclose(
      total, sum(parts.values()) + 4 * parts['gradient'], rtol=1e-6
  )
  without, _ = loss(out, gradient_weight=0.0)
  np.testing.assert_allclose(total - without, 5 * parts['gradient'], rtol=1e-5)
  gradients = jax.grad(lambda out: loss(out)[0])(out)
  for gradient in gradients['aux'].values():
    assert np.abs(gradient[:, :5]).min() > 0
    assert not gradient[:, 5:].any()


def test_masks_are_made_behind_what_moves_pixels():
  module = importlib.import_module('configs.cascade_psp')
  for arg in ('', 'folder', 'ade20k', 'camvid,small=True', 'cityscapes'):
    preprocess = module.get_config(arg).preprocess
    ops = [op.partition('(')[0] for op in preprocess.train.split('|')]
    place = ops.index('perturbed_masks')
    assert {'flip', 'random_crop'} <= set(ops[:place])
    assert 'normalize' in ops[place:]
    assert preprocess.eval.startswith('fixed_masks')
    assert 'resize' not in preprocess.eval
