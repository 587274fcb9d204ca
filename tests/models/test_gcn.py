import importlib

from flax import linen as nn
import jax
import jax.numpy as jnp
import pytest

from segjax import models

CLASSES = 4


def create(**fields):
  return models.create('gcn', CLASSES, **{'backbone': 'resnet/tiny', **fields})


@pytest.mark.parametrize(
    ('size', 'deconvolution'), [((33, 41), False), ((50, 31), True)]
)
def test_scores_meet_at_the_sizes_of_the_levels(size, deconvolution):
  model = create(deconvolution=deconvolution)
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out['logits'].shape == (2, *size, CLASSES)
  trained = {n for n in variables['params'] if n.startswith('enlarge')}
  assert len(trained) == (5 if deconvolution else 0)


@pytest.mark.parametrize(
    ('arg', 'kernel', 'deconvolution'),
    [('', 7, True), ('voc2012', 15, True), ('camvid', 7, False)],
)
def test_the_paper_s_network_is_that_of_its_data_sets(
    arg, kernel, deconvolution
):
  model = importlib.import_module('configs.gcn').get_config(arg).model
  assert (model.kernel, model.deconvolution) == (kernel, deconvolution)


def test_with_a_last_convolution_scores_stay_at_stride_4_for_two_steps():
  model = create(last_conv=True, kernel=3)
  seen = []

  def record(call, args, kwargs, context):
    if context.module.name == 'refine_sum_c1':
      seen.append(args[0].shape[1:3])
    return call(*args, **kwargs)

  image = jax.ShapeDtypeStruct((1, 64, 96, 3), jnp.float32)
  with nn.intercept_methods(record):
    out, variables = jax.eval_shape(
        model.init_with_output, jax.random.key(0), image
    )
  assert seen == [(16, 24)]
  assert out['logits'].shape == (1, 64, 96, CLASSES)
  shape = 1, 1, CLASSES, CLASSES
  assert variables['params']['last']['kernel'].shape == shape
