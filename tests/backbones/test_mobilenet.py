from flax import linen as nn
import jax
import numpy as np
import pytest

from segjax import backbones
from segjax.backbones import mobilenet
from tests.backbones.shapes import shapes

# torchvision's published counts for 1000 classes.
PARAMETERS = {
    'v2': 3_504_872,
    'v2_mmseg': 3_504_872,
    'v2_jfzhang': 3_504_872,
    'v3_large': 5_483_032,
    'v3_small': 2_542_856,
}


def dilations(name, output_stride):
  """The dilations of the depthwise convolutions."""
  found = []

  def record(call, args, kwargs, context):
    module = context.module
    if isinstance(module, nn.Conv) and 'depthwise' in module.path:
      found.append(module.kernel_dilation)
    return call(*args, **kwargs)

  with nn.intercept_methods(record):
    shapes(f'mobilenet/{name}', output_stride=output_stride)
  return found


@pytest.mark.parametrize('size', [64, 65])
@pytest.mark.parametrize('output_stride', [8, 16])
def test_dilated_features_subsampled_equal_strided_ones(
    random_variables, size, output_stride
):
  image = jax.random.normal(jax.random.key(1), (1, size, size + 32, 3))
  # A squeeze takes means over all positions, and there are more of them.
  blocks = tuple(
      row._replace(squeeze=False)
      for row in mobilenet.VARIANTS['tiny']['blocks']
  )
  strided = backbones.build('mobilenet/tiny', blocks=blocks)
  dilated = backbones.build(
      'mobilenet/tiny', blocks=blocks, output_stride=output_stride
  )
  variables = random_variables(strided, image.shape)

  sparse = jax.jit(strided.apply)(variables, image)['c5']
  dense = jax.jit(dilated.apply)(variables, image)['c5']
  step = 32 // output_stride
  assert sparse.std() > 0
  np.testing.assert_allclose(
      dense[:, ::step, ::step], sparse, atol=1e-5 * np.abs(sparse).max()
  )


@pytest.mark.parametrize(
    ('name', 'output_stride', 'expected'),
    [
        ('v2', 32, [1] * 17),
        ('v2', 16, [1] * 14 + [2] * 3),
        ('v2', 8, [1] * 7 + [2] * 7 + [4] * 3),
        ('v2_mmseg', 8, [1] * 6 + [2, 1, 1, 1, 2, 1, 1, 4, 1, 1, 4]),
        ('v2_jfzhang', 16, [1] * 16 + [2]),
        ('v2_jfzhang', 8, [1] * 10 + [2] * 6 + [4]),
        ('v3_large', 16, [1] * 12 + [2] * 3),
        ('v3_small', 16, [1] * 8 + [2] * 3),
        ('v3_large_seg', 16, [1] * 13 + [2] * 2),
    ],
)
def test_blocks_dilate_as_in_the_source(name, output_stride, expected):
  assert dilations(name, output_stride) == expected


@pytest.mark.parametrize('output_stride', [8, 16, 32])
@pytest.mark.parametrize(
    ('name', 'widths'),
    [
        ('v2', (16, 24, 32, 96, 320)),
        ('v3_large', (16, 24, 40, 112, 960)),
        ('v3_small', (16, 16, 24, 48, 576)),
    ],
)
def test_levels_stop_striding_at_the_output_stride(name, widths, output_stride):
  feats, _ = shapes(
      f'mobilenet/{name}', (2, 65, 97, 3), output_stride=output_stride
  )
  for level, width in enumerate(widths, 1):
    stride = min(2**level, output_stride)
    shape = (2, -(-65 // stride), -(-97 // stride), width)
    assert feats[f'c{level}'].shape == shape
    if level > 1:
      assert feats[f'c{level}_first'].shape[:3] == shape[:3]


@pytest.mark.parametrize('name', PARAMETERS)
def test_there_are_as_many_parameters_as_torchvision_publishes(name):
  feats, variables = shapes(f'mobilenet/{name}', num_classes=1000)
  assert feats['class_logits'].shape == (1, 1000)
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert sum(sizes) == PARAMETERS[name]


@pytest.mark.parametrize('name', mobilenet.VARIANTS)
def test_there_are_scores_of_classes_only_on_demand(name):
  feats, variables = shapes(f'mobilenet/{name}')
  assert 'class_logits' not in feats
  assert not {'hidden', 'classifier'} & set(variables['params'])


@pytest.mark.parametrize(
    ('name', 'widths'),
    [('v3_large', (160, 960)), ('v3_small', (96, 576))],
)
def test_for_segmentation_the_tail_has_half_the_channels(name, widths):
  _, whole = shapes(f'mobilenet/{name}')
  _, half = shapes(f'mobilenet/{name}_seg')
  for variables, factor in ((whole, 1), (half, 2)):
    kernel = variables['params']['last']['conv']['kernel']
    assert kernel.shape[2:] == tuple(width // factor for width in widths)


def test_padding_the_input_changes_the_border_only():
  image = jax.random.normal(jax.random.key(1), (1, 8, 8, 4))
  row = mobilenet.Row(3, 8, 4, False, nn.relu6, 1)
  outside = mobilenet.InvertedResidual(row, pad_input=True)
  inside = mobilenet.InvertedResidual(row)
  variables = inside.init(jax.random.key(0), image, False)
  variables['params']['expand']['norm']['bias'] = np.ones(8)
  a = outside.apply(variables, image, False)
  b = inside.apply(variables, image, False)
  np.testing.assert_allclose(a[:, 1:-1, 1:-1], b[:, 1:-1, 1:-1], atol=1e-6)
  assert np.abs(a - b)[:, 0].max() > 1e-3


@pytest.mark.parametrize(('size', 'first'), [(8, 0), (9, -1)])
def test_keras_pads_even_sides_at_their_end_alone(size, first):
  row = mobilenet.Row(3, 4, 4, False, nn.relu6, 2)
  block = mobilenet.InvertedResidual(row, stride=2, tensorflow_padding=True)
  x = jax.random.normal(jax.random.key(1), (1, size, size, 4))
  variables = block.init(jax.random.key(0), x, False)
  kernel = variables['params']['depthwise']['conv']['kernel']
  # Each output is the pixel where its window begins, if that is in the image.
  only_first = np.zeros(kernel.shape, np.float32)
  only_first[0, 0] = 1.0
  variables['params']['depthwise']['conv']['kernel'] = only_first
  variables['params']['project']['conv']['kernel'] = np.eye(4)[None, None]
  y = block.apply(variables, x, False)
  expected = np.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))[:, 1 + first :: 2]
  expected = np.clip(expected[:, :, 1 + first :: 2], 0, 6)
  rows = -(-size // 2)
  np.testing.assert_allclose(y, expected[:, :rows, :rows], atol=1e-4)


def test_the_levels_of_wide_features_are_six_times_wider():
  feats, _ = shapes('mobilenet/v2_keras', (1, 64, 96, 3), expanded=True)
  for level, (stride, channels) in enumerate(
      ((2, 96), (4, 144), (8, 192), (16, 576)), 1
  ):
    shape = (1, 64 // stride, 96 // stride, channels)
    assert feats[f'c{level}_expanded'].shape == shape


def test_an_output_stride_that_a_mobilenet_has_not_is_refused():
  with pytest.raises(ValueError, match='output_stride=4: .* 8, 16 or 32'):
    shapes('mobilenet/v2', output_stride=4)
