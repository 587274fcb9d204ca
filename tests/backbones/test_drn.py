from flax import linen as nn
import jax
import pytest

from segjax.backbones import drn
from tests.backbones.shapes import shapes

# Millions of parameters with 1000 classes, as https://github.com/fyu/drn says.
PUBLISHED = {
    'c_26': 21.1,
    'c_42': 31.2,
    'd_22': 16.4,
    'd_38': 26.5,
    'd_54': 35.8,
    'd_105': 54.8,
}


def dilations(name):
  """{level of a backbone: the dilations of its 3x3 convolutions}."""
  found = {}

  def record(call, args, kwargs, context):
    conv = context.module
    if isinstance(conv, nn.Conv) and conv.kernel_size == (3, 3):
      level = conv.path[0].partition('_')[0]
      found.setdefault(level, []).append(conv.kernel_dilation)
    return call(*args, **kwargs)

  with nn.intercept_methods(record):
    shapes(name)
  return found


@pytest.mark.parametrize('name', PUBLISHED)
def test_there_are_as_many_parameters_as_published(name):
  _, variables = shapes(f'drn/{name}', num_classes=1000)
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert round(sum(sizes) / 1e6, 1) == PUBLISHED[name]


def test_every_published_variant_is_counted():
  assert set(drn.VARIANTS) == {'tiny', *PUBLISHED}


@pytest.mark.parametrize(
    ('name', 'widths'),
    [
        ('d_22', (32, 64, 128, 256, 512)),
        ('d_54', (32, 256, 512, 1024, 512)),
    ],
)
def test_levels_stay_at_stride_8(name, widths):
  feats, _ = shapes(f'drn/{name}', (2, 65, 97, 3))
  assert list(feats) == ['c1', 'c2', 'c3', 'c4', 'c5']
  strides = (2, 4, 8, 8, 8)
  for feat, stride, width in zip(feats.values(), strides, widths, strict=True):
    assert feat.shape == (2, -(-65 // stride), -(-97 // stride), width)


@pytest.mark.parametrize(('name', 'convs'), [('d_22', 1), ('c_26', 2)])
def test_dilation_grows_and_falls_again(name, convs):
  found = dilations(f'drn/{name}')
  assert found['level4'] == [1, 1, 1, 1]
  assert found['level5'] == [2, 2, 2, 2]
  assert found['level6'] == [4, 4, 4, 4]
  assert found['level7'] == [2] * convs
  assert found['level8'] == [1] * convs


def test_another_output_stride_is_refused():
  with pytest.raises(ValueError, match='output_stride=16: a DRN has 8'):
    shapes('drn/tiny', output_stride=16)


def test_class_logits_are_one_row_for_an_image():
  feats, _ = shapes('drn/tiny', (2, 33, 49, 3), num_classes=7)
  assert feats['class_logits'].shape == (2, 7)
