import jax
import numpy as np
import pytest

from configs import fcn as config_of_fcn
from segjax import backbones
from segjax import models
from segjax import optim
from segjax.artifacts import warm_start

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


@pytest.mark.parametrize('stride', HEADS)
def test_a_config_has_the_stride_and_the_rate_of_its_stage(stride):
  config = config_of_fcn.get_config(f'dataset=voc2012,stage={stride}s')
  assert config.model.stride == stride
  assert config.lr.base == {32: 1e-10, 16: 1e-12, 8: 1e-14}[stride]
  for name, rate in (
      ('head/upsample_fc7/kernel', 0.0),
      ('head/upsample/kernel', 0.0),
      ('head/score_fc7/kernel', 1.0),
      ('backbone/fc6/conv/bias', 2.0),
  ):
    assert optim.factor(config.optim.factors, name) == rate


def test_an_unknown_stage_is_refused_with_those_there_are():
  with pytest.raises(ValueError, match="32s, 16s, 8s, at_once, not '4s'"):
    config_of_fcn.get_config('stage=4s')


def test_a_classifier_begins_an_fcn_with_its_hidden_layers(random_variables):
  classifier = backbones.build('vgg/tiny', num_classes=7)
  params = random_variables(classifier, (1, 64, 64, 3))['params']
  saved = {'params': {'backbone': params}}
  filled, table = warm_start.fill(fresh(32), saved, channels=3)
  for name, layer in filled['params']['backbone'].items():
    jax.tree.map(np.testing.assert_array_equal, layer, params[name])
  assert {'fc6', 'fc7'} < set(filled['params']['backbone'])
  assert 'params/backbone/fc6' not in table


def test_scales_weigh_the_features_of_the_finer_levels(random_variables):
  image = jax.random.normal(jax.random.key(1), IMAGE)
  variables = random_variables(create(8), IMAGE)
  scaled = jax.jit(create(8, scales=(0.5, 2.0)).apply)(variables, image)
  for name, scale in (('score_c4', 0.5), ('score_c3', 2.0)):
    scorer = variables['params']['head'][name]
    scorer['kernel'] = scale * scorer['kernel']
  plain = jax.jit(create(8).apply)(variables, image)
  np.testing.assert_allclose(
      scaled['logits'], plain['logits'], atol=1e-4 * plain['logits'].std()
  )


def test_a_backbone_of_another_family_is_refused():
  model = models.create('fcn', 5, backbone='resnet/tiny')
  with pytest.raises(ValueError, match='resnet/tiny has no field .*fc6'):
    model.init(jax.random.key(0), np.zeros(IMAGE))
