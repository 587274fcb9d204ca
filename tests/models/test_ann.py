import importlib

import jax
import numpy as np
import pytest

from segjax import models
from segjax.convert import torch
from segjax.convert.rules.mmseg import ann as rules
from segjax.models.ann import AsymmetricNonLocal

FIELDS = dict(
    backbone='resnet/tiny(output_stride=8)',
    features=8,
    key_features=4,
    bins=(1, 2),
    aux_level='',
)
SHARED = 'decode_head.context.stages.0.{}_project.conv.weight'


@pytest.mark.parametrize('relu', [False, True])
def test_a_block_begins_without_what_is_gathered(relu):
  x, source, other = (
      jax.random.normal(jax.random.key(i), (1, 4, 5, 3)) for i in range(3)
  )
  block = AsymmetricNonLocal(6, 4, (1, 2), shared=False, relu=relu)
  variables = block.init(jax.random.key(3), x, source, False)
  first, second = (block.apply(variables, x, s, False) for s in (source, other))
  np.testing.assert_array_equal(first, second)
  assert (first.min() >= 0) == relu

  params = jax.tree.map(lambda p: p + 0.1, variables['params'])
  first, second = (
      block.apply({**variables, 'params': params}, x, s, False)
      for s in (source, other)
  )
  assert np.abs(first - second).max() > 1e-3


def test_both_names_of_the_shared_projection_are_written_back():
  model = models.create('ann', 3, **FIELDS)
  block = jax.eval_shape(
      model.init, jax.random.key(0), np.zeros((1, 33, 33, 3), np.float32)
  )
  part = {
      'params': {
          'context': {
              'attention': {
                  'query': {
                      'conv0': {
                          'conv': {
                              'kernel': np.arange(32.0).reshape(1, 1, 8, 4)
                          }
                      }
                  }
              }
          }
      }
  }
  shape = block['params']['context']['attention']['query']['conv0']['conv']
  assert shape['kernel'].shape == (1, 1, 8, 4)
  names = {SHARED.format(name): (4, 8, 1, 1) for name in ('query', 'key')}
  state = torch.export(part, rules.RULES, names)
  np.testing.assert_array_equal(*(state[name] for name in names))
  back = torch.convert(state, rules.RULES, part)
  jax.tree.map(np.testing.assert_array_equal, back, part)

  state[SHARED.format('key')] = state[SHARED.format('key')] + 1
  with pytest.raises(ValueError, match='key_project.*differs from .*query'):
    torch.convert(state, rules.RULES, part)


@pytest.mark.parametrize(
    ('dataset', 'steps', 'decay'),
    [('cityscapes', 60_000, 5e-4), ('ade20k', 150_000, 1e-4)],
)
def test_sets_of_the_paper_have_the_recipe_of_the_authors(
    dataset, steps, decay
):
  config = importlib.import_module('configs.ann').get_config(dataset)
  assert config.model.backbone == 'resnet/101_v1s(output_stride=8)'
  assert (config.total_steps, config.optim.weight_decay) == (steps, decay)
