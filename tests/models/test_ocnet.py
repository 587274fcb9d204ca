import importlib

from flax import linen as nn
from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.convert import torch
from segjax.convert.rules.pkurainbow import ocnet as rules
from segjax.data import transforms
from segjax.layers.conv import ConvNormAct
from segjax.models import ocnet

CLASSES = 4


def shapes_of(size, record=None, **fields):
  """Outputs and variables, as shapes, of a small model."""
  model = models.create(
      'ocnet',
      CLASSES,
      backbone='resnet/tiny(output_stride=8)',
      features=8,
      **fields,
  )
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  with nn.intercept_methods(
      record or (lambda call, args, kw, _: call(*args, **kw))
  ):
    return jax.eval_shape(model.init_with_output, jax.random.key(0), image)


# Maps of 1x1, fewer rows than the finest grid has cells, and odd sides.
@pytest.mark.parametrize('size', [(8, 8), (17, 90)])
@pytest.mark.parametrize('head', ocnet.HEADS)
def test_maps_of_any_size_have_a_context(head, size):
  out, _ = shapes_of(size, head=head)
  assert out['logits'].shape == (2, *size, CLASSES)


def test_an_unknown_head_is_refused_with_the_names():
  with pytest.raises(ValueError, match="head='oc': .* base, pyramid, asp"):
    shapes_of((33, 33), head='oc')


@pytest.mark.parametrize('head', ocnet.HEADS)
def test_norms_are_activated_but_for_two_of_the_pyramid(head):
  activations = {}

  def record(call, args, kwargs, context):
    module = context.module
    if isinstance(module, ConvNormAct) and module.path[0] != 'backbone':
      assert module.norm is ocnet.ActivatedConv.keywords['norm']
      activations['/'.join(module.path)] = module.act
    return call(*args, **kwargs)

  shapes_of((33, 33), record, head=head)
  linear = {name for name, act in activations.items() if act is None}
  assert linear == ({'head/reduce', 'aux/conv'} if head == 'pyramid' else set())
  assert set(activations.values()) <= {None, nn.leaky_relu}


def test_a_context_begins_as_zeros_and_stays_within_its_cells():
  x = jax.random.normal(jax.random.key(0), (1, 5, 7, 6))
  layer = ocnet.ObjectContext(3, 4, cells=2)
  y, variables = jax.jit(layer.init_with_output, static_argnums=2)(
      jax.random.key(1), x, False
  )
  np.testing.assert_array_equal(y, 0)

  params = jax.tree.map(lambda p: p + 0.1, variables['params'])

  @jax.jit
  @jax.grad
  def gradient(x):
    return layer.apply({**variables, 'params': params}, x, False)[0, 4, 2].sum()

  reached = np.abs(gradient(x)[0]).max(-1) > 0
  expected = np.zeros((5, 7), bool)
  expected[2:, :3] = True  # The last row of cells has the odd row.
  np.testing.assert_array_equal(reached, expected)


def test_dropout_takes_whole_channels():
  rates = {}

  def record(call, args, kwargs, context):
    if isinstance(context.module, nn.Dropout):
      rates[context.module.path[0]] = context.module.broadcast_dims
    return call(*args, **kwargs)

  shapes_of((33, 33), record)
  assert len(rates) == 2
  assert set(rates.values()) == {(1, 2)}


def test_both_names_of_the_shared_projection_are_written_back():
  kernel = np.arange(12.0).reshape(1, 1, 4, 3)
  path = 'params/head/context2/attention/query/conv0/conv/kernel'
  part = traverse_util.unflatten_dict({path: kernel}, sep='/')
  names = {
      f'context.stages.2.f_{name}.0.weight': (3, 4, 1, 1)
      for name in ('query', 'key')
  }
  state = torch.export(part, rules.RULES, names)
  np.testing.assert_array_equal(*state.values())
  back = torch.convert(state, rules.RULES, part)
  jax.tree.map(np.testing.assert_array_equal, back, part)


@pytest.mark.parametrize(
    ('arg', 'dropout'), [('cityscapes', 0.05), ('cityscapes,head=asp', 0.1)]
)
def test_the_config_for_cityscapes_has_the_authors_input(arg, dropout):
  config = importlib.import_module('configs.ocnet').get_config(arg)
  assert config.model.dropout == dropout
  image = np.full((1, 1, 3), (122.7717 + 1, 115.9465 + 2, 102.9801 + 3))
  features = {'image': image.astype(np.float32)}
  for op in transforms.parse(config.preprocess.eval):
    features = op.map(features)
  np.testing.assert_allclose(features['image'][0, 0], [3, 2, 1], atol=1e-4)
