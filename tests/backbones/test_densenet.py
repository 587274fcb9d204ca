from flax import linen as nn
import jax
import numpy as np
import pytest

from segjax.backbones import densenet
from tests.backbones.shapes import shapes

# torchvision's published counts for 1000 classes.
PARAMETERS = {
    '121': 7_978_856,
    '161': 28_681_000,
    '169': 14_149_480,
    '201': 20_013_928,
}


@pytest.mark.parametrize(
    ('output_stride', 'sides'),
    # The stem rounds up, transitions round down.
    [
        (32, ((33, 49), (17, 25), (8, 12), (4, 6), (2, 3))),
        (16, ((33, 49), (17, 25), (8, 12), (4, 6), (4, 6))),
        (8, ((33, 49), (17, 25), (8, 12), (8, 12), (8, 12))),
    ],
)
def test_levels_stop_striding_at_the_output_stride(output_stride, sides):
  feats, _ = shapes('densenet/121', (2, 65, 97, 3), output_stride=output_stride)
  assert list(feats) == ['c1', 'c2', 'c3', 'c4', 'c5']
  for level, (size, width) in enumerate(
      zip(sides, (64, 256, 512, 1024, 1024), strict=True), 1
  ):
    assert feats[f'c{level}'].shape == (2, *size, width)


@pytest.mark.parametrize(
    ('output_stride', 'expected'),
    [(32, (1, 1, 1, 1)), (16, (1, 1, 1, 2)), (8, (1, 1, 2, 4))],
)
def test_layers_dilate_after_a_transition_that_does_not_pool(
    output_stride, expected
):
  found = {}

  def record(call, args, kwargs, context):
    if isinstance(context.module, nn.Conv):
      found['/'.join(context.module.path)] = context.module.kernel_dilation
    return call(*args, **kwargs)

  with nn.intercept_methods(record):
    shapes('densenet/tiny', output_stride=output_stride)
  for block, rate in enumerate(expected, 1):
    for layer in (1, 2):
      assert found[f'block{block}_{layer}/conv2'] == rate


def test_a_layer_appends_to_what_it_reads():
  x = jax.random.normal(jax.random.key(0), (1, 8, 8, 16))
  layer = densenet.DenseLayer(growth=8)
  y, _ = layer.init_with_output(jax.random.key(1), x, False)
  assert y.shape == (1, 8, 8, 24)
  np.testing.assert_array_equal(y[..., :16], x)


@pytest.mark.parametrize('name', PARAMETERS)
def test_there_are_as_many_parameters_as_torchvision_publishes(name):
  feats, variables = shapes(f'densenet/{name}', num_classes=1000)
  assert feats['class_logits'].shape == (1, 1000)
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert sum(sizes) == PARAMETERS[name]


def test_every_published_variant_is_counted():
  assert set(densenet.VARIANTS) == {'tiny', *PARAMETERS}


def test_an_output_stride_that_a_densenet_has_not_is_refused():
  with pytest.raises(ValueError, match='output_stride=4: .* 8, 16 or 32'):
    shapes('densenet/121', output_stride=4)


def test_a_last_transition_halves_the_channels_at_the_same_resolution():
  whole, _ = shapes('densenet/tiny', output_stride=8)
  halved, variables = shapes('densenet/tiny', output_stride=8, halve=True)
  assert halved['c4'] == whole['c4']
  batch, height, width, channels = whole['c5'].shape
  assert halved['c5'].shape == (batch, height, width, channels // 2)
  assert variables['params']['norm']['scale'].shape == (channels // 2,)
