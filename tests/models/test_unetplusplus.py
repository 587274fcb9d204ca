import jax
import jax.numpy as jnp
import pytest

from segjax import models

IMAGE = jax.ShapeDtypeStruct((1, 65, 97, 3), jnp.float32)


def traced(**fields):
  model = models.create('unetplusplus', 7, backbone='resnet/tiny', **fields)
  return jax.eval_shape(model.init_with_output, jax.random.key(0), IMAGE)


def test_a_node_reads_the_one_below_and_all_before_it_in_its_level():
  _, variables = traced(features=(9, 8, 7, 6, 5))
  widths = {
      name: value['conv1']['conv']['kernel'].shape[2:]
      for name, value in variables['params'].items()
      if name.startswith(('node', 'up'))
  }
  # The backbone has 16, 16, 32, 64 and 128 channels; the last node of a level
  # has those of `features`, the others those of the backbone.
  assert widths == {
      'node4_1': (128 + 64, 9),
      'node3_1': (64 + 32, 32),
      'node3_2': (9 + 32 + 32, 8),
      'node2_1': (32 + 16, 16),
      'node2_2': (32 + 16 + 16, 16),
      'node2_3': (8 + 16 + 16 + 16, 7),
      'node1_1': (16 + 16, 16),
      'node1_2': (16 + 16 + 16, 16),
      'node1_3': (16 + 16 + 16 + 16, 16),
      'node1_4': (7 + 16 + 16 + 16 + 16, 6),
      'up0': (6, 5),
  }


def test_deep_supervision_scores_the_nodes_before_the_last():
  out, _ = traced()
  assert out['aux'] == {}
  out, variables = traced(deep_supervision=True)
  assert {name: scores.shape for name, scores in out['aux'].items()} == {
      f'node{i}': (1, 65, 97, 7) for i in (1, 2, 3)
  }
  assert variables['params']['aux_node1']['kernel'].shape == (1, 1, 16, 7)


def test_features_of_another_number_are_refused():
  with pytest.raises(ValueError, match='one number for each'):
    traced(features=(8, 8, 8, 8))
