import jax
import numpy as np
import pytest

from segjax.convert import joints
from segjax.convert import torch
from segjax.convert.rules import under


def tensor(*shape):
  return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def there_and_back(state, rules, template):
  """Returns what a state becomes; checks that it is written as it was."""
  template = jax.tree.map(np.float32, template)
  variables = torch.convert(state, rules, template)
  shapes = {name: array.shape for name, array in state.items()}
  back = torch.export(variables, rules, shapes)
  assert set(back) == set(state)
  for name, array in back.items():
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, state[name], 1e-5, 1e-6, err_msg=name)
  return variables


def conv(*shape):
  return {'params': {'conv': {'kernel': np.zeros(shape)}}}


def norm(width):
  zeros = np.zeros(width)
  return {
      'params': {'norm': {'scale': zeros, 'bias': zeros}},
      'batch_stats': {'norm': {'mean': zeros, 'var': zeros}},
  }


def test_an_inverse_standard_deviation_is_a_variance():
  state = {'bn.inv_std': np.abs(tensor(4)) + 0.5}
  template = {'batch_stats': {'norm': {'var': np.zeros(4)}}}
  rules = (
      (r'bn\.inv_std', 'norm/inv_std'),
      joints.inverse_std('norm', 1e-4),
  )
  variables = there_and_back(state, rules, template)
  var = variables['batch_stats']['norm']['var']
  np.testing.assert_allclose(1 / np.sqrt(var + 1e-4), state['bn.inv_std'], 1e-5)


def test_a_norm_without_statistics_computes_the_same_when_folded_again():
  state = {'bn.weight': tensor(4), 'bn.bias': tensor(4) + 1}
  rules = (('bn', 'norm'), joints.folded_norm('norm', 0.25))
  variables = there_and_back(state, rules, norm(4))
  assert (variables['batch_stats']['norm']['mean'] == 0).all()
  assert (variables['batch_stats']['norm']['var'] == 1).all()
  mean, var = tensor(4) + 2, np.abs(tensor(4)) + 1
  variables['batch_stats']['norm'] = {'mean': mean, 'var': var}
  back = torch.export(variables, rules, {'bn.weight': (4,), 'bn.bias': (4,)})

  def normalise(x, scale, bias, mean, var):
    return (x - mean) / np.sqrt(var + 0.25) * scale + bias

  x = tensor(3, 4)
  np.testing.assert_allclose(
      normalise(x, back['bn.weight'], back['bn.bias'], 0, 1),
      normalise(x, state['bn.weight'], state['bn.bias'], mean, var),
      rtol=1e-4,
      atol=1e-5,
  )


def test_the_bias_of_a_convolution_moves_into_the_mean_of_its_norm():
  state = {
      'conv.bias': tensor(4),
      'bn.running_mean': tensor(4) + 1,
  }
  template = {'batch_stats': {'stem': {'norm': {'mean': np.zeros(4)}}}}
  rules = (
      *(('conv', 'stem/conv'), ('bn', 'stem/norm')),
      joints.bias_in_mean('stem'),
  )
  variables = torch.convert(state, rules, template)
  mean = variables['batch_stats']['stem']['norm']['mean']
  # The norm subtracts its mean from what has no bias any more.
  np.testing.assert_allclose(
      -mean, state['conv.bias'] - state['bn.running_mean'], 1e-6
  )
  shapes = {name: (4,) for name in state}
  back = torch.export(variables, rules, shapes)
  assert (back['conv.bias'] == 0).all()
  np.testing.assert_array_equal(back['bn.running_mean'], mean)
  # A convolution without a bias is no problem.
  del state['conv.bias']
  there_and_back(state, rules, template)


def test_a_constant_is_filled_and_must_not_change():
  rules = (('bn', 'norm'), joints.constant('.*', 'scale', 1.0))
  template = norm(4)
  state = {
      f'bn.{n}': tensor(4) for n in ('bias', 'running_mean', 'running_var')
  }
  variables = there_and_back(state, rules, template)
  assert (variables['params']['norm']['scale'] == np.ones(4)).all()
  variables['params']['norm']['scale'] = np.full(4, 2.0)
  with pytest.raises(ValueError, match='norm/scale: it is not 1.0'):
    torch.export(variables, rules, {name: (4,) for name in state})


def test_input_channels_are_permuted():
  state, template = {'conv.weight': tensor(5, 3, 2, 2)}, conv(2, 2, 3, 5)
  rules = (('conv', 'conv'), joints.permuted('conv', 'kernel', (2, 1, 0)))
  kernel = there_and_back(state, rules, template)['params']['conv']['kernel']
  blue = state['conv.weight'][:, 0]
  np.testing.assert_array_equal(np.moveaxis(kernel[:, :, 2], -1, 0), blue)


def test_groups_of_channels_are_permuted():
  state, template = {'conv.weight': tensor(5, 6, 1, 1)}, conv(1, 1, 6, 5)
  rules = (('conv', 'conv'), joints.permuted('conv', 'kernel', (1, 2, 0)))
  kernel = there_and_back(state, rules, template)['params']['conv']['kernel']
  order = [2, 3, 4, 5, 0, 1]
  np.testing.assert_array_equal(
      kernel[0, 0].T, state['conv.weight'][:, order, 0, 0]
  )


def test_channels_of_pixels_are_regrouped():
  state, template = {'conv.weight': tensor(5, 12)}, conv(12, 5)
  rules = (
      ('conv', 'conv'),
      joints.regrouped('conv', 'kernel', (-1, 2, 2), (1, 2, 0)),
  )
  kernel = there_and_back(state, rules, template)['params']['conv']['kernel']
  for channel in range(3):
    for pixel in range(4):
      np.testing.assert_array_equal(
          kernel[3 * pixel + channel],
          state['conv.weight'][:, 4 * channel + pixel],
      )


def test_kernels_are_flipped():
  state, template = {'conv.weight': tensor(5, 4, 3, 3)}, conv(3, 3, 4, 5)
  rules = (('conv', 'conv'), joints.flipped('conv', 'kernel', (0, 1)))
  kernel = there_and_back(state, rules, template)['params']['conv']['kernel']
  np.testing.assert_array_equal(kernel[0, 2].T, state['conv.weight'][..., 2, 0])


def test_a_table_is_transposed_where_a_joint_says_so():
  state = {'table': tensor(3, 4)}
  template = {'params': {'a': {'table': np.zeros((4, 3))}}}
  rules = (('table', 'a/table'), joints.transposed('a', 'table', (1, 0)))
  table = there_and_back(state, rules, template)['params']['a']['table']
  np.testing.assert_array_equal(table, state['table'].T)


PARTS = ('query', 'key', 'value')


def test_queries_keys_and_values_become_one_layer_in_a_part_of_the_model():
  rules = under(
      'vit',
      (
          (r'layer\.(\d)\.(query|key|value)', r'block\1/\2'),
          *joints.merged(r'block\d', PARTS, 'qkv'),
      ),
  )
  state = {
      f'vit.layer.{layer}.{part}.{leaf}': tensor(*shape) + layer
      for layer in (0, 1)
      for part in PARTS
      for leaf, shape in (('weight', (4, 6)), ('bias', (4,)))
  }
  block = {'qkv': {'kernel': np.zeros((6, 12)), 'bias': np.zeros(12)}}
  template = {'params': {'vit': {'block0': block, 'block1': block}}}
  params = there_and_back(state, rules, template)['params']['vit']
  layer = params['block1']['qkv']
  x = tensor(6)
  for i, part in enumerate(PARTS):
    weight, bias = (
        state[f'vit.layer.1.{part}.{n}'] for n in ('weight', 'bias')
    )
    np.testing.assert_allclose(
        (x @ layer['kernel'] + layer['bias'])[4 * i : 4 * i + 4],
        weight @ x + bias,
        rtol=1e-5,
    )
  name = 'vit.layer.1.key.bias'
  del state[name]
  with pytest.raises(ValueError, match='block1/key/bias: no tensor fills it'):
    torch.convert(state, rules, template)


def test_one_layer_for_queries_keys_and_values_becomes_three():
  state = {
      'attn.in_proj_weight': tensor(12, 6),
      'attn.in_proj_bias': tensor(12),
  }
  layer = {'kernel': np.zeros((6, 4)), 'bias': np.zeros(4)}
  template = {'params': {'attention': dict.fromkeys(PARTS, layer)}}
  rules = (('attn', 'attention'), *joints.split('attention', 'qkv', PARTS))
  params = there_and_back(state, rules, template)['params']['attention']
  np.testing.assert_array_equal(
      params['key']['kernel'].T, state['attn.in_proj_weight'][4:8]
  )
  np.testing.assert_array_equal(
      params['value']['bias'], state['attn.in_proj_bias'][8:]
  )


def test_queries_keys_and_values_of_an_attention_stay_one_layer():
  state = {'attn.in_proj_weight': tensor(12, 6)}
  template = {'params': {'attention': {'qkv': {'kernel': np.zeros((6, 12))}}}}
  variables = there_and_back(state, (('attn', 'attention'),), template)
  kernel = variables['params']['attention']['qkv']['kernel']
  np.testing.assert_array_equal(kernel.T, state['attn.in_proj_weight'])


def test_what_a_joint_fills_must_have_the_shape_of_the_variable():
  state, template = {'conv.weight': tensor(5, 3, 2, 2)}, conv(2, 2, 6, 5)
  rules = (('conv', 'conv'), joints.permuted('conv', 'kernel', (2, 1, 0)))
  with pytest.raises(ValueError, match=r'has to be \[2, 2, 6, 5\]'):
    torch.convert(state, rules, template)


def test_a_variable_that_a_joint_and_a_tensor_fill_is_an_error():
  state = {name: tensor(4) for name in ('bn.weight', 'bn.bias')}
  state['bn.running_mean'] = tensor(4)
  rules = (('bn', 'norm'), joints.folded_norm('norm', 1e-5))
  with pytest.raises(ValueError, match='norm/mean: both a tensor and a joint'):
    torch.convert(state, rules, norm(4))
