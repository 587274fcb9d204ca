from flax import linen as nn
import jax
import numpy as np
import pytest

from segjax import backbones
from segjax.backbones import xception
from tests.backbones.shapes import shapes

# Counted in timm 1.0.31, for 1000 classes.
PARAMETERS = {'41': 26_969_560, '65': 39_916_312, '71': 42_338_736}


def dilations(name, output_stride):
  """The dilation of each block's depthwise convolutions."""
  found = {}

  def record(call, args, kwargs, context):
    module = context.module
    if isinstance(module, nn.Conv) and 'depthwise' in module.path:
      found.setdefault(module.path[0], set()).add(module.kernel_dilation)
    return call(*args, **kwargs)

  with nn.intercept_methods(record):
    shapes(f'xception/{name}', output_stride=output_stride)
  return [dilation for dilations in found.values() for dilation in dilations]


@pytest.mark.parametrize('size', [64, 65, 96])
@pytest.mark.parametrize('output_stride', [8, 16])
def test_dilated_features_subsampled_equal_strided_ones(
    random_variables, size, output_stride
):
  image = jax.random.normal(jax.random.key(1), (1, size, size + 32, 3))
  strided = backbones.build('xception/tiny')
  dilated = backbones.build('xception/tiny', output_stride=output_stride)
  variables = random_variables(strided, image.shape)

  sparse = jax.jit(strided.apply)(variables, image)['c5']
  dense = jax.jit(dilated.apply)(variables, image)['c5']
  step = 32 // output_stride
  assert sparse.std() > 0
  np.testing.assert_allclose(
      dense[:, ::step, ::step], sparse, atol=1e-5 * np.abs(sparse).max()
  )


@pytest.mark.parametrize('name', ['41', '65', '71'])
@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_levels_stop_striding_at_the_output_stride(name, output_stride):
  feats, _ = shapes(
      f'xception/{name}', (2, 65, 97, 3), output_stride=output_stride
  )
  widths = (128, 256, 728, 1024, 2048)
  assert list(feats) == ['c1', 'c2', 'c3', 'c4', 'c5']
  for level, width in enumerate(widths, 1):
    stride = min(2**level, output_stride)
    shape = (2, -(-65 // stride), -(-97 // stride), width)
    assert feats[f'c{level}'].shape == shape


@pytest.mark.parametrize(
    ('name', 'output_stride', 'expected'),
    [
        ('65', 32, [1] * 21),
        ('65', 16, [1] * 20 + [2]),
        ('65', 8, [1] * 3 + [2] * 17 + [4]),
        ('71', 8, [1] * 5 + [2] * 17 + [4]),
        ('65_jfzhang', 16, [1] * 20 + [2]),
    ],
)
def test_blocks_dilate_as_in_the_source(name, output_stride, expected):
  assert dilations(name, output_stride) == expected


@pytest.mark.parametrize('name', PARAMETERS)
def test_there_are_as_many_parameters_as_in_timm(name):
  feats, variables = shapes(f'xception/{name}', num_classes=1000)
  assert feats['class_logits'].shape == (1, 1000)
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert sum(sizes) == PARAMETERS[name]


@pytest.mark.parametrize('name', xception.VARIANTS)
def test_an_output_stride_has_no_part_in_the_variables(name):
  _, strided = shapes(f'xception/{name}')
  _, dilated = shapes(f'xception/{name}', output_stride=8)
  assert dilated == strided
  assert 'classifier' not in strided['params']


def test_levels_are_not_rectified_but_in_jfzhangs_network(random_variables):
  image = jax.random.normal(jax.random.key(1), (1, 64, 64, 3))
  tiny = backbones.build('xception/tiny')
  variables = random_variables(tiny, image.shape)
  for jfzhang in (False, True):
    model = backbones.build('xception/tiny', jfzhang=jfzhang)
    feats = jax.jit(model.apply)(variables, image)
    assert (feats['c2'].min() >= 0) == jfzhang


def test_an_output_stride_that_an_xception_has_not_is_refused():
  with pytest.raises(ValueError, match='output_stride=4: .* 8, 16 or 32'):
    shapes('xception/65', output_stride=4)
