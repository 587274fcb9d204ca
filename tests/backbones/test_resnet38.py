import functools

from flax import linen as nn
import jax
import numpy as np
import pytest

from segjax import backbones
from tests.backbones.shapes import shapes


@pytest.fixture(scope='module')
def variables():
  """Variables of the tiny one; its norms, zeros and ones at first, differ."""
  image = np.zeros((1, 64, 64, 3), np.float32)
  model = backbones.build('resnet38/tiny')
  fresh = jax.jit(model.init)(jax.random.key(0), image)
  rng = np.random.default_rng(0)
  return jax.tree.map(
      lambda x: rng.uniform(0.5, 1.5, x.shape) if x.ndim == 1 else x, fresh
  )


def dilations(name, **fields):
  """{path of a convolution: its dilation}."""
  found = {}

  def record(call, args, kwargs, context):
    if isinstance(context.module, nn.Conv):
      found['/'.join(context.module.path)] = context.module.kernel_dilation
    return call(*args, **kwargs)

  with nn.intercept_methods(record):
    shapes(name, **fields)
  return found


@pytest.mark.parametrize('size', [64, 65])
@pytest.mark.parametrize('output_stride', [8, 16])
def test_dilated_features_subsampled_equal_strided_ones(
    variables, size, output_stride
):
  image = jax.random.normal(jax.random.key(1), (1, size, size + 32, 3))
  strided = backbones.build('resnet38/tiny')
  dilated = backbones.build('resnet38/tiny', output_stride=output_stride)

  sparse = jax.jit(strided.apply)(variables, image)['c5']
  dense = jax.jit(dilated.apply)(variables, image)['c5']
  step = 32 // output_stride
  assert sparse.std() > 0.1
  np.testing.assert_allclose(
      dense[:, ::step, ::step], sparse, atol=1e-5 * np.abs(sparse).max()
  )


@pytest.mark.parametrize('name', ['a1', 'a2'])
@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_levels_stop_striding_at_the_output_stride(name, output_stride):
  feats, _ = shapes(
      f'resnet38/{name}', (2, 65, 97, 3), output_stride=output_stride
  )
  assert list(feats) == ['c0', 'c1', 'c2', 'c3', 'c4', 'c5']
  for level, width in enumerate((128, 256, 512, 1024, 4096), 1):
    stride = min(2**level, output_stride)
    shape = (2, -(-65 // stride), -(-97 // stride), width)
    assert feats[f'c{level}'].shape == shape


@pytest.mark.parametrize('name', ['a1', 'a2'])
def test_there_are_as_many_parameters_as_in_nvidias_code(name):
  _, variables = shapes(f'resnet38/{name}')
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert sum(sizes) == 105_070_912


def test_only_a2_dilates_from_the_first_convolution_on():
  a1 = dilations('resnet38/a1', output_stride=8)
  a2 = dilations('resnet38/a2', output_stride=8)
  assert (a1['level5_0/conv1'], a2['level5_0/conv1']) == (1, 2)
  for found in (a1, a2):
    assert found['level4_5/conv2'] == 1
    assert found['level5_0/conv2'] == 2
    assert found['level5_1/conv1'] == 2
    assert found['level6_0/conv2'] == 4
    assert found['level7_0/conv2'] == 4


def test_dropout_changes_the_last_levels_alone(variables):
  image = jax.random.normal(jax.random.key(1), (2, 64, 64, 3))

  @functools.partial(jax.jit, static_argnums=0)
  def train(dropout):
    feats, _ = backbones.build('resnet38/tiny', dropout=dropout).apply(
        variables,
        image,
        train=True,
        mutable=['batch_stats'],
        rngs={'dropout': jax.random.key(2)},
    )
    return feats

  plain, dropping = train((0.0, 0.0)), train((0.3, 0.5))
  np.testing.assert_array_equal(plain['c4'], dropping['c4'])
  assert not np.allclose(plain['c5'], dropping['c5'])


def test_an_output_stride_that_a_resnet_38_has_not_is_refused():
  with pytest.raises(ValueError, match='output_stride=4: .* 8, 16 or 32'):
    shapes('resnet38/tiny', output_stride=4)


def test_class_logits_are_one_row_for_an_image():
  feats, _ = shapes('resnet38/tiny', (2, 33, 49, 3), num_classes=7)
  assert feats['class_logits'].shape == (2, 7)
