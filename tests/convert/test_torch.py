import jax
import numpy as np
import pytest

from segjax.convert import torch
from segjax.convert.rules import conv_norm
from segjax.convert.rules import under

RULES = (
    *under('body', conv_norm(r'block(\d)', r'stage\1')),
    ('head', 'classifier'),
    ('fc', None),
)


def tensor(*shape):
  return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


@pytest.fixture
def state():
  """A 3x2 convolution from 3 to 4 channels, a norm and a linear layer."""
  return {
      'body.block1.0.weight': tensor(4, 3, 3, 2),
      'body.block1.1.weight': tensor(4),
      'body.block1.1.bias': tensor(4) + 1,
      'body.block1.1.running_mean': tensor(4) + 2,
      'body.block1.1.running_var': tensor(4) + 3,
      'body.block1.1.num_batches_tracked': np.int64(7),
      'head.weight': tensor(5, 4),
      'head.bias': tensor(5),
  }


@pytest.fixture
def template():
  def array(*shape):
    return jax.ShapeDtypeStruct(shape, np.float32)

  return {
      'params': {
          'body': {
              'stage1': {
                  'conv': {'kernel': array(3, 2, 3, 4)},
                  'norm': {'scale': array(4), 'bias': array(4)},
              }
          },
          'classifier': {'kernel': array(4, 5), 'bias': array(5)},
      },
      'batch_stats': {
          'body': {'stage1': {'norm': {'mean': array(4), 'var': array(4)}}}
      },
  }


def problems(state, rules, template):
  with pytest.raises(ValueError, match='does not fit') as error:
    torch.convert(state, rules, template)
  return [line.strip() for line in str(error.value).splitlines()[1:]]


def test_every_kind_of_tensor_finds_its_variable(state, template):
  variables = torch.convert(state, RULES, template)
  assert jax.tree.structure(variables) == jax.tree.structure(template)
  stage = variables['params']['body']['stage1']
  stats = variables['batch_stats']['body']['stage1']['norm']
  for value, name in (
      (stage['norm']['scale'], 'weight'),
      (stage['norm']['bias'], 'bias'),
      (stats['mean'], 'running_mean'),
      (stats['var'], 'running_var'),
  ):
    np.testing.assert_array_equal(value, state[f'body.block1.1.{name}'])
  bias = variables['params']['classifier']['bias']
  np.testing.assert_array_equal(bias, state['head.bias'])


def test_kernels_get_the_order_of_axes_of_flax(state, template):
  params = torch.convert(state, RULES, template)['params']
  conv, weight = params['body']['stage1']['conv'], state['body.block1.0.weight']
  for (out, into, row, col), value in np.ndenumerate(weight):
    assert conv['kernel'][row, col, into, out] == value
  linear = params['classifier']['kernel']
  np.testing.assert_array_equal(linear, state['head.weight'].T)


def test_a_linear_layer_over_a_map_becomes_a_convolution_and_back():
  shape = jax.ShapeDtypeStruct((2, 3, 4, 5), np.float32)
  state, rules = {'fc.weight': tensor(5, 24)}, (('fc', 'fc'),)
  variables = torch.convert(state, rules, {'params': {'fc': {'kernel': shape}}})
  kernel, window = variables['params']['fc']['kernel'], tensor(2, 3, 4)
  # Channels come first where PyTorch flattens a map.
  expected = state['fc.weight'] @ window.transpose(2, 0, 1).ravel()
  np.testing.assert_allclose(
      np.einsum('hwio,hwi->o', kernel, window), expected, rtol=1e-5
  )
  back = torch.export(variables, rules, {'fc.weight': 2})
  np.testing.assert_array_equal(back['fc.weight'], state['fc.weight'])


def test_values_get_the_type_of_the_variable(state, template):
  state['head.bias'] = state['head.bias'].astype(np.float16)
  params = torch.convert(state, RULES, template)['params']
  assert params['classifier']['bias'].dtype == np.float32


def test_all_that_is_amiss_is_in_one_error(state, template):
  del state['body.block1.1.bias']
  state['head.weight'] = tensor(21, 4)
  state['neck.weight'] = tensor(2)
  state['body.block2.0.weight'] = tensor(4, 4, 1, 1)
  state['head.table'] = tensor(2, 2)
  assert problems(state, RULES, template) == [
      'head.weight [21, 4]: params/classifier/kernel would be [4, 21], the'
      ' model has [4, 5]',
      'neck.weight [2]: no rule matches',
      'body.block2.0.weight [4, 4, 1, 1]: the model has no'
      ' params/body/stage2/conv/kernel',
      "head.table [2, 2]: no layer is known to have a 'table' of this rank",
      'params/body/stage1/norm/bias [4]: no tensor fills it',
  ]


def test_two_tensors_for_one_variable_are_an_error(state, template):
  state['top.bias'] = tensor(5)
  assert problems(state, (*RULES, ('top', 'classifier')), template) == [
      'top.bias [5]: params/classifier/bias has a value already'
  ]


def test_a_rule_with_none_drops_a_module_whatever_it_holds(state, template):
  state['fc.weight'], state['fc.table'] = tensor(9, 4), tensor(1, 2, 3)
  variables = torch.convert(state, RULES, template)
  assert jax.tree.structure(variables) == jax.tree.structure(template)


def test_the_first_rule_that_matches_the_whole_path_holds(state, template):
  rules = (('he', 'other'), *RULES, ('head', 'other'))
  torch.convert(state, rules, template)


def test_under_keeps_alternatives_and_dropped_modules_in_its_prefix():
  rules = under('body', (('a|b', 'x'), ('c', None)))
  path = 'params/body/x/bias'
  assert torch.locate('body.b.bias', 1, rules) == (path, (0,))
  assert torch.locate('body.c.bias', 1, rules) is None
  with pytest.raises(LookupError, match='no rule'):
    torch.locate('b.bias', 1, rules)


def test_a_parameter_of_no_known_layer_has_a_rule_over_its_whole_name():
  rules = under('body', (('table', 'embed/positions'), ('stem', 'embed')))
  place = torch.locate('body.table', 3, rules)
  assert place == ('params/body/embed/positions', (0, 1, 2))
  assert torch.locate('body.table', 3, (('body.table', None),)) is None
  with pytest.raises(LookupError, match="'scales' of this rank"):
    torch.locate('body.stem.scales', 3, rules)


def test_queries_keys_and_values_of_an_attention_stay_one_layer():
  rules = (('attn', 'attention'),)
  kernel = torch.locate('attn.in_proj_weight', 2, rules)
  bias = torch.locate('attn.in_proj_bias', 1, rules)
  assert kernel == ('params/attention/qkv/kernel', (1, 0))
  assert bias == ('params/attention/qkv/bias', (0,))


def test_under_moves_modules_from_the_top_into_a_part_of_the_model():
  rules = under('', (('stem', 'conv'),), 'backbone')
  place = torch.locate('stem.bias', 1, rules)
  assert place == ('params/backbone/conv/bias', (0,))
