import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import backbones
from segjax import models
from segjax.models import max_deeplab
from segjax.ops import mask_slots

FIELDS = dict(
    backbone='axial_resnet/tiny',
    memory=7,
    slots=5,
    memory_features=16,
    features=16,
    path_features=16,
    expansion=8,
    depth=8,
    low_features=(4, 4),
)
IMAGE = jax.ShapeDtypeStruct((2, 66, 97, 3), np.float32)


def test_the_slots_that_are_used_predict_at_stride_4():
  model = models.create('max_deeplab', 3, **FIELDS)
  out, variables = jax.eval_shape(
      lambda x: model.init_with_output(jax.random.key(0), x, train=False),
      IMAGE,
  )
  params = variables['params']
  assert params['memory'].shape == (7, 16)
  assert out['class_logits'].shape == (2, 5, 4)
  assert out['mask_logits'].shape == (2, 17, 25, 5)
  assert out['aux']['semantic'].shape == (2, 66, 97, 3)
  # One path for each of the last stage's blocks, and one more.
  assert {name for name in params if name.startswith('path')} == {
      *('path0', 'path1', 'path_extra')
  }


def test_stacked_decoders_go_down_and_up_again():
  model = models.create(
      'max_deeplab',
      3,
      **{
          **FIELDS,
          'path_features': 32,
          'path_levels': ('c4', 'c5'),
          'stacks': (1, 1),
          'blocks': 2,
      },
  )
  out, variables = jax.eval_shape(
      lambda x: model.init_with_output(jax.random.key(0), x, train=False),
      IMAGE,
  )
  assert out['mask_logits'].shape == (2, 17, 25, 5)
  assert out['aux']['semantic'].shape == (2, 66, 97, 3)
  params = variables['params']
  # Two ways down and up again, and the last one; one block a stride in the
  # backbone, and two behind it.
  assert {name for name in params if name.startswith('refine')} == {
      *(f'refine_{i}' for i in range(1, 9)),
      *(f'refine_{i}_1' for i in range(5, 9)),
      *(f'refine_c{level}{end}' for level in (2, 3) for end in ('', '_1')),
  }
  # Memory and pixels look at each other behind every block at stride 16.
  assert {name for name in params if name.startswith('path')} == {
      *('path_c4_0', 'path0', 'path1', 'path_extra', 'path_extra_1'),
      *('path_refine_4', 'path_refine_8', 'path_refine_8_1'),
  }
  widths = {
      name: params[name]['memory']['dense']['kernel'].shape[1]
      for name in ('path_c4_0', 'path0', 'path_refine_8')
  }
  assert widths == {'path_c4_0': 16, 'path0': 32, 'path_refine_8': 32}
  # The auxiliary head reads features at stride 4 without a decoder.
  assert 'semantic' not in params
  depthwise = params['semantic_head']['depthwise']['conv']['kernel']
  assert depthwise.shape[-1] == 4 * 8


@pytest.mark.parametrize(
    ('arg', 'millions'),
    [('coco_panoptic', 61.9), ('coco_panoptic,large=True', 451)],
)
def test_both_sizes_have_as_many_parameters_as_in_the_paper(arg, millions):
  config = importlib.import_module('configs.max_deeplab').get_config(arg)
  model = models.create('max_deeplab', 133, **config.model)
  image = jax.ShapeDtypeStruct((1, 65, 65, 3), np.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), image)['params']
  # Without the auxiliary head, which is for training alone.
  used = {k: x for k, x in params.items() if not k.startswith('semantic')}
  count = sum(x.size for x in jax.tree.leaves(used)) / 1e6
  assert count == pytest.approx(millions, rel=0.02)


def test_paths_are_dropped_more_often_at_larger_strides():
  backbone = backbones.build('axial_resnet/max_s(drop_path=0.2)')
  # The first block of a stage reads the stride of the one before.
  assert [backbone.dropped(4, i) for i in range(2)] == pytest.approx([0, 0.15])
  assert [backbone.dropped(5, i) for i in range(2)] == pytest.approx(
      [0.15, 0.2]
  )
  wide = backbones.build('axial_resnet/swidernet(drop_path=0.2)')
  assert [wide.dropped(2, i) for i in range(2)] == pytest.approx([0, 0.05])


def test_memory_attends_to_pixels_and_memory_with_one_softmax():
  layer = max_deeplab.DualPath(16, 8)
  memory = jax.random.normal(jax.random.key(0), (1, 3, 16))
  x = jax.random.normal(jax.random.key(1), (1, 2, 2, 6))
  variables = layer.init(jax.random.key(2), memory, x, False)
  # The scales of what is added are 0 at first: only attention changes memory.
  variables['params']['attended']['norm']['scale'] = jnp.ones(16)
  (found, pixels), captured = layer.apply(
      variables, memory, x, False, capture_intermediates=True
  )
  np.testing.assert_allclose(pixels, x, atol=1e-6)
  q, k, v = np.split(
      np.concatenate(
          [
              captured['intermediates'][f'{name}_qkv']['__call__'][0][0]
              for name in ('memory', 'pixel')
          ]
      ),
      (8, 16),
      -1,
  )
  std = np.sqrt(1 + 1e-3)
  shown = np.zeros((3, 8, 2))
  for i, h in np.ndindex(3, 8):
    weights = jax.nn.softmax(k[:, h] * q[i, h] / std)
    shown[i, h] = weights @ v.reshape(7, 8, 2)[:, h]
  shown = np.maximum(shown.reshape(3, 16) / std, 0)
  shown = shown @ variables['params']['attended']['dense']['kernel'] / std
  np.testing.assert_allclose(
      found[0], np.maximum(memory[0] + shown, 0), rtol=1e-4, atol=1e-5
  )


def test_pixels_of_stuff_do_not_count_in_the_contrast_of_segments():
  masks = jnp.asarray(np.eye(3)[np.array([[[0, 0, 1, 2]]])], jnp.float32)
  valid = jnp.array([[True, True, True]])
  features = jnp.asarray(np.eye(4)[np.array([[[0, 1, 2, 3]]])], jnp.float32)

  def value(is_thing):
    truth = mask_slots.Targets(
        masks, jnp.zeros((1, 3), int), valid, jnp.array([is_thing])
    )
    return float(mask_slots.segment_contrast(features, truth)[0])

  # Object 0 has a mean of two features, the others are alone.
  near, alone = np.sqrt(0.5) / 0.3, 1 / 0.3
  of_first = np.log(np.exp(near) + 2) - near
  of_others = np.log(np.exp(alone) + 2) - alone
  assert value([True, False, False]) == pytest.approx(of_first, rel=1e-4)
  assert value([False, True, False]) == pytest.approx(of_others, rel=1e-4)
  assert value([False] * 3) == 0
