import jax
import numpy as np
import pytest

from segjax import backbones
from segjax.backbones import vgg
from tests.backbones.shapes import shapes

# torchvision's published counts for 1000 classes.
PARAMETERS = {
    '11': 132_863_336,
    '11_bn': 132_868_840,
    '13': 133_047_848,
    '13_bn': 133_053_736,
    '16': 138_357_544,
    '16_bn': 138_365_992,
    '19': 143_667_240,
    '19_bn': 143_678_248,
}


# At these sizes no pool cuts a border that the dense features have.
@pytest.mark.parametrize(
    ('pool', 'size'), [(vgg.pool2, 64), (vgg.pool2_up, 64), (vgg.pool3, 65)]
)
@pytest.mark.parametrize(
    ('output_stride', 'levels'), [(16, ('c4', 'c5')), (8, ('c3', 'c4'))]
)
def test_dilated_features_subsampled_equal_strided_ones(
    random_variables, pool, size, output_stride, levels
):
  image = jax.random.normal(jax.random.key(1), (1, size, size + 32, 3))
  strided = backbones.build('vgg/tiny', pool=pool)
  dilated = backbones.build('vgg/tiny', pool=pool, output_stride=output_stride)
  variables = random_variables(strided, image.shape)

  sparse = jax.jit(strided.apply)(variables, image)
  dense = jax.jit(dilated.apply)(variables, image)
  for level, step in zip(levels, (1, 2), strict=True):
    assert sparse[level].std() > 0
    np.testing.assert_allclose(
        dense[level][:, ::step, ::step],
        sparse[level],
        atol=1e-5 * np.abs(sparse[level]).max(),
    )


def test_pools_of_2x2_drop_an_odd_last_row_and_column():
  feats, _ = shapes('vgg/16_bn', (2, 65, 97, 3))
  assert list(feats) == ['c1', 'c2', 'c3', 'c4', 'c5', 'conv5']
  for level, width in enumerate((64, 128, 256, 512, 512), 1):
    shape = (2, 65 // 2**level, 97 // 2**level, width)
    assert feats[f'c{level}'].shape == shape


@pytest.mark.parametrize(
    ('side', 'sides'),
    # Caffe's: ceil((n + 2 - 3) / 2) + 1.
    [(65, (33, 17, 9, 9, 9)), (64, (33, 17, 9, 9, 9)), (63, (32, 17, 9, 9, 9))],
)
def test_the_pools_of_large_fov_round_up(side, sides):
  feats, _ = shapes('vgg/tiny', (1, side, 65, 3), **vgg.LARGE_FOV)
  assert tuple(feats[f'c{i}'].shape[1] for i in range(1, 6)) == sides
  assert feats['fc7'].shape[1:3] == feats['c5'].shape[1:3]


def test_the_border_of_fcn_gives_the_smallest_image_a_place():
  # 1 + 2 * 99 pixels, halved and rounded up five times, are a window of fc6.
  feats, _ = shapes('vgg/tiny', (1, 1, 33, 3), **vgg.FCN)
  assert tuple(feats[f'c{i}'].shape[1] for i in range(1, 6)) == (
      *(100, 50, 25, 13, 7),
  )
  assert feats['fc7'].shape == (1, 1, 2, 32)


def test_a_pool_that_rounds_up_keeps_an_odd_last_row():
  x = -np.arange(1.0, 6.0)[None, :, None, None] * np.ones((1, 5, 5, 1))
  up = vgg.pool2_up(x, 2)[0, :, 0, 0]
  np.testing.assert_array_equal(up, [-1, -3, -5])


def test_pools_of_3x3_see_a_border_of_nothing():
  x = -np.arange(1.0, 5.0)[None, :, None, None] * np.ones((1, 4, 4, 1))
  np.testing.assert_array_equal(vgg.pool3(x, 1)[0, :, 0, 0], [-1, -1, -2, -3])
  np.testing.assert_array_equal(vgg.pool3(x, 2)[0, :, 0, 0], [-1, -2, -4])


@pytest.mark.parametrize('name', PARAMETERS)
def test_there_are_as_many_parameters_as_torchvision_publishes(name):
  feats, variables = shapes(f'vgg/{name}', num_classes=1000)
  assert feats['class_logits'].shape == (1, 1000)
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert sum(sizes) == PARAMETERS[name]


def test_every_published_variant_is_counted():
  assert set(vgg.VARIANTS) == {'tiny', *PARAMETERS}


def test_an_output_stride_that_a_vgg_has_not_is_refused():
  with pytest.raises(ValueError, match='output_stride=4: .* 8, 16 or 32'):
    shapes('vgg/16', output_stride=4)
