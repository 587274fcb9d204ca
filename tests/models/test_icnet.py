import importlib

from flax import linen as nn
import jax
import jax.numpy as jnp
import pytest

from segjax import models
from segjax.models import icnet

CLASSES = 4


def create(**fields):
  return models.create(
      'icnet',
      CLASSES,
      **{
          'backbone': 'resnet/tiny(output_stride=8, ceil_pool=True)',
          'light': (4, 4, 8),
          'pyramid_features': 8,
          'deep_features': 8,
          'features': 8,
          **fields,
      },
  )


def output_shapes(model, size):
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  out, inner = jax.eval_shape(
      lambda x: model.init_with_output(
          jax.random.key(0), x, capture_intermediates=True
      ),
      image,
  )
  return out, inner['intermediates']


# Kernels and strides of the prototxt are those of the first map.
@pytest.mark.parametrize(
    ('size', 'bins', 'window', 'strides'),
    [
        ((33, 65), 1, (33, 65), (32, 64)),
        ((33, 65), 2, (17, 33), (16, 32)),
        ((33, 65), 3, (13, 25), (10, 20)),
        ((33, 65), 6, (8, 15), (5, 10)),
        ((25, 25), 6, (5, 5), (4, 4)),
        ((4, 5), 6, (4, 5), (1, 1)),
    ],
)
def test_windows_of_the_pyramid_are_those_of_the_authors(
    monkeypatch, size, bins, window, strides
):
  calls = []
  average = nn.avg_pool

  def record(x, *args):
    calls.append(args)
    return average(x, *args)

  monkeypatch.setattr(icnet.nn, 'avg_pool', record)
  x = jax.ShapeDtypeStruct((1, *size, 2), jnp.bfloat16)
  y = jax.eval_shape(lambda x: icnet._grid_means(x, bins), x)
  assert calls == [(window, strides)]
  assert (y.shape, y.dtype) == (x.shape, x.dtype)


@pytest.mark.parametrize('authors', [False, True])
@pytest.mark.parametrize('size', [(97, 193), (64, 90)])
def test_branches_see_a_quarter_half_and_all_of_any_image(authors, size):
  out, inner = output_shapes(create(authors=authors), size)
  assert out['logits'].shape == (1, *size, CLASSES)
  full = tuple(-(-side // 8) for side in size)
  light, deep = (
      inner[name]['__call__'][0].shape[1:3] for name in ('light3', 'deep')
  )
  middle, fused = (
      inner[name]['__call__'][0][0].shape[1:3]
      for name in ('fuse_middle', 'fuse_light')
  )
  assert light == fused == full
  if authors and size == (97, 193):  # As in the prototxt, 32 n + 1.
    assert (middle, deep) == ((7, 13), (4, 7))
  guides = {'stride16': size, 'stride8': size}
  if authors:
    guides = {'stride16': middle, 'stride8': full}
  assert {k: v.shape[1:3] for k, v in out['aux'].items()} == guides


def test_the_authors_branch_off_after_the_first_block_of_the_stage():
  given = []

  def record(call, args, kwargs, context):
    if context.module.name == 'stage2_1' and context.method_name == '__call__':
      given.append(args[0].shape[1:3])
    return call(*args, **kwargs)

  with nn.intercept_methods(record):
    for authors in (False, True):
      model = create(authors=authors, backbone='resnet/18(output_stride=8)')
      output_shapes(model, (97, 193))
  # Half of the image has stride 16 there, and is halved once more.
  assert given == [(6, 12), (4, 7)]


def test_without_guides_there_are_no_heads_for_them():
  out, _ = output_shapes(create(guides=False), (33, 65))
  assert out['aux'] == {}


@pytest.mark.parametrize('arg', ['', 'cityscapes', 'cityscapes,authors=True'])
def test_the_config_has_a_factor_for_each_guide(arg):
  config = importlib.import_module('configs.icnet').get_config(arg)
  assert config.aux_weight.to_dict() == {'stride16': 0.4, 'stride8': 0.4}
  assert config.model.authors == ('authors' in arg)
  network = '50_icnet' if 'authors' in arg else '50_v1c'
  expected = f'resnet/{network if arg else "tiny"}('
  assert config.model.backbone.startswith(expected)
