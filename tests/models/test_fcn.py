import jax
import numpy as np
import pytest

from segjax import models
from segjax import warm_start

IMAGE = (1, 33, 48, 3)
HEADS = {
    32: {'score_fc7', 'upsample'},
    16: {'score_fc7', 'upsample_fc7', 'score_c4', 'upsample'},
    8: {
        *('score_fc7', 'upsample_fc7', 'score_c4', 'upsample_c4', 'score_c3'),
        'upsample',
    },
}


def create(stride, **fields):
  return models.create(
      'fcn', 5, backbone='vgg/tiny', stride=stride, dropout=0.0, **fields
  )


def fresh(stride):
  image = jax.ShapeDtypeStruct(IMAGE, np.float32)
  shapes = jax.eval_shape(create(stride).init, jax.random.key(0), image)
  return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


@pytest.mark.parametrize('stride', HEADS)
def test_each_stage_has_the_scores_of_its_levels(stride):
  assert set(fresh(stride)['params']['head']) == HEADS[stride]


@pytest.mark.parametrize('coarse', [32, 16])
def test_a_stage_takes_over_all_that_it_shares(random_variables, coarse):
  saved = random_variables(create(coarse), IMAGE)
  filled, table = warm_start.fill(fresh(coarse // 2), saved, channels=3)
  ours, theirs = filled['params'], saved['params']
  for shared in HEADS[coarse] - {'upsample'}:
    jax.tree.map(
        np.testing.assert_array_equal,
        ours['head'][shared],
        theirs['head'][shared],
    )
  jax.tree.map(
      np.testing.assert_array_equal, ours['backbone'], theirs['backbone']
  )
  anew = {'upsample', *HEADS[coarse // 2] - HEADS[coarse]}
  lines = table.splitlines()[1:]
  assert {line.split('/')[2] for line in lines} == anew
  assert all('initialised anew' in line for line in lines)


def test_scales_weigh_the_features_of_the_finer_levels(random_variables):
  image = jax.random.normal(jax.random.key(1), IMAGE)
  variables = random_variables(create(8), IMAGE)
  scaled = jax.jit(create(8, scales=(0.5, 2.0)).apply)(variables, image)
  head = variables['params']['head']
  head['score_c4']['kernel'] *= 0.5
  head['score_c3']['kernel'] *= 2.0
  plain = jax.jit(create(8).apply)(variables, image)
  np.testing.assert_allclose(
      scaled['logits'], plain['logits'], atol=1e-4 * plain['logits'].std()
  )


def test_a_backbone_of_another_family_is_refused():
  model = models.create('fcn', 5, backbone='resnet/tiny')
  with pytest.raises(ValueError, match='resnet/tiny has no field .*fc6'):
    model.init(jax.random.key(0), np.zeros(IMAGE))
