import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import encnet
from segjax.models import fastfcn

CLASSES = 4
# Head -> the parts of the model that it alone has.
PARTS = {'psp': {'ppm'}, 'aspp': {'aspp'}, 'enc': {'encoding', 'presence'}}


def base(*_):
  """A task's loss."""
  return 3.0, {'cross_entropy': 3.0}


def create(**fields):
  return models.create(
      'fastfcn', CLASSES, backbone='resnet/tiny', features=8, **fields
  )


@pytest.mark.parametrize('head', fastfcn.HEADS)
def test_a_head_has_its_parts_alone(head):
  image = jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32)
  out, variables = jax.eval_shape(
      create(head=head).init_with_output, jax.random.key(0), image
  )
  known = {'backbone', 'jpu', 'fuse', 'classifier', 'aux'}
  assert set(variables['params']) == known | PARTS[head]
  assert ('presence' in out) == (head == 'enc')
  if head == 'enc':
    assert out['presence'].shape == (2, CLASSES)


def test_an_unknown_head_is_refused_with_the_names():
  image = jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32)
  with pytest.raises(ValueError, match="head='fcn': .* psp, aspp, enc"):
    jax.eval_shape(create(head='fcn').init, jax.random.key(0), image)


def test_a_strided_backbone_has_scores_at_stride_8():
  model = create()
  image = jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)
  _, inner = jax.eval_shape(
      lambda v, x: model.apply(
          v, x, capture_intermediates=True, mutable=['intermediates']
      ),
      variables,
      image,
  )
  inner = inner['intermediates']
  assert inner['backbone']['__call__'][0]['c5'].shape[1:3] == (3, 4)
  assert inner['classifier']['__call__'][0].shape == (2, 9, 13, CLASSES)


def test_the_loss_is_that_of_encnet_where_presence_is_scored():
  rng = np.random.default_rng(0)
  batch = {'label': rng.integers(0, 3, (2, 5, 6))}
  out = {'presence': rng.normal(size=(2, CLASSES)).astype(np.float32)}
  key = jax.random.key(0)
  expected = encnet.loss(out, batch, key, base=base, presence_weight=0.5)
  found = fastfcn.loss(out, batch, key, base=base, presence_weight=0.5)
  assert found == expected
  assert found[0] > 3
  assert fastfcn.loss({}, batch, key, base=base) == (3.0, {'cross_entropy': 3})


@pytest.mark.parametrize(('head', 'weight'), [('psp', 0.4), ('enc', 0.2)])
def test_the_papers_recipe_strides_without_dilation(head, weight):
  config = importlib.import_module('configs.fastfcn').get_config(
      f'dataset=pascal_context,head={head}'
  )
  assert config.model.head == head
  assert config.model.backbone == 'resnet/50_v1s'
  assert config.aux_weight == weight
  assert config.system_loss.presence_weight == 0.2
