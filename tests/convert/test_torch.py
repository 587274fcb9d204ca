from flax import traverse_util
import jax
import numpy as np
import pytest

from segjax.convert import rules
from segjax.convert import torch
from segjax.convert.rules import alias
from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.tf import TRAINING

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
  back = torch.export(variables, rules, {'fc.weight': (5, 24)})
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
      'head.weight [21, 4]: params/classifier/kernel would be [4, 21] and has'
      ' to be [4, 5]',
      'neck.weight [2]: no rule matches',
      'body.block2.0.weight [4, 4, 1, 1]: the model has no body/stage2/conv'
      ' with a kernel or scale or embedding or slope',
      "head.table [2, 2]: no layer is known to have a 'table'",
      'params/body/stage1/norm/bias [4]: no tensor fills it',
  ]


@pytest.mark.parametrize('dtype', [np.int8, np.uint8, np.complex64, 'V2'])
def test_numbers_that_are_no_fractions_are_named(state, template, dtype):
  weights = state['head.weight'].astype(np.float16)
  # NumPy reads bfloat16 in .npz as two bytes.
  state['head.weight'] = (
      weights.view(dtype) if dtype == 'V2' else weights.astype(dtype)
  )
  (problem,) = problems(state, RULES, template)
  name = str(np.dtype(dtype))
  assert problem.startswith(f'head.weight [5, 4]: it holds {name}, ')


def test_two_tensors_for_one_variable_are_an_error(state, template):
  state['top.bias'] = tensor(5)
  assert problems(state, (*RULES, ('top', 'classifier')), template) == [
      'top.bias [5]: params/classifier/bias has a value already, from'
      ' head.bias [5]'
  ]


def test_a_tensor_that_may_be_either_of_two_variables_is_an_error():
  paths = ('params/x/kernel', 'params/x/embedding')
  with pytest.raises(LookupError, match='more than one x with a kernel'):
    locate('a.weight', (('a', 'x'),), *paths)
  rules = ((r'a\.weight', 'x/embedding'), ('a', 'x'))
  assert locate('a.weight', rules, *paths) == 'params/x/embedding'
  both = ('params/x/kernel', 'params/x/scale')
  assert locate('a.weight', (('a', 'x'),), *both) == 'params/x/kernel'


def test_what_has_no_name_in_the_source_cannot_be_written(template):
  variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape), template)
  with pytest.raises(ValueError, match='do not fit') as error:
    torch.export(variables, (('head', 'classifier'),), {'head.weight': (4, 5)})
  lines = [line.strip() for line in str(error.value).splitlines()[1:]]
  assert lines[0] == (
      'head.weight [4, 5]: params/classifier/kernel would be [5, 4] and has to'
      ' be [4, 5]'
  )
  assert 'params/classifier/bias: no tensor of the state is for it' in lines
  assert len(lines) == 7


def test_a_rule_with_none_drops_a_module_whatever_it_holds(state, template):
  state['fc.weight'], state['fc.table'] = tensor(9, 4), tensor(1, 2, 3)
  variables = torch.convert(state, RULES, template)
  assert jax.tree.structure(variables) == jax.tree.structure(template)


def test_the_first_rule_that_matches_the_whole_path_holds(state, template):
  rules = (('he', 'other'), *RULES, ('head', 'other'))
  torch.convert(state, rules, template)


def locate(name, rules, *paths):
  """Returns where a tensor with two axes goes in a model with these paths."""
  flat = {path: np.zeros((2, 2)) for path in paths}
  template = traverse_util.unflatten_dict(flat, sep='/')
  place = torch.Plan([name], rules, template, 'torch').locate(name, 2)
  return place and place[0]


def test_under_keeps_alternatives_and_dropped_modules_in_its_prefix():
  rules, path = under('body', (('a|b', 'x'), ('c', None))), 'params/body/x/bias'
  assert locate('body.b.bias', rules, path) == path
  assert locate('body.c.bias', rules, path) is None
  with pytest.raises(LookupError, match='no rule'):
    locate('b.bias', rules, path)


def test_under_moves_modules_from_the_top_into_a_part_of_the_model():
  rules, path = (
      under('', (('stem', 'a'),), 'backbone'),
      'params/backbone/a/bias',
  )
  assert locate('stem.bias', rules, path) == path


def test_a_tensor_of_no_known_layer_has_a_rule_over_its_whole_name():
  rules = under('body', (('table', 'embed/positions'), ('stem', 'embed')))
  path = 'params/body/embed/positions'
  assert locate('body.table', rules, path) == path
  assert locate('body.table', (('body.table', None),), path) is None
  with pytest.raises(LookupError, match="to have a 'scales'"):
    locate('body.stem.scales', rules, path)


def there_and_back(state, rules, shapes, layout='torch'):
  """Returns {path: array} of a model with `shapes`, and checks the way back."""
  flat = {
      path: jax.ShapeDtypeStruct(shape, np.float32)
      for path, shape in shapes.items()
  }
  template = traverse_util.unflatten_dict(flat, sep='/')
  variables = torch.convert(state, rules, template, layout)
  names = {name: array.shape for name, array in state.items()}
  back = torch.export(variables, rules, names, layout)
  for name, array in back.items():
    np.testing.assert_allclose(array, state[name], 1e-5, 1e-6, err_msg=name)
  return traverse_util.flatten_dict(variables, sep='/'), back


@pytest.mark.parametrize(
    ('there', 'here'),
    [
        ((4, 3), (1, 1, 3, 4)),  # A linear layer is a convolution, ...
        ((4, 3, 1), (3, 4)),  # ... and a convolution along a line is linear.
        ((4, 3, 1), (1, 1, 3, 4)),
        ((4, 3, 1, 1), (3, 4)),
        ((4, 3, 5), (5, 3, 4)),
        ((4, 3, 2, 5, 6), (2, 5, 6, 3, 4)),
        ((4, 1, 5, 5), (5, 5, 1, 4)),  # By channels.
        ((4, 3 * 2 * 5), (2, 5, 3, 4)),
    ],
)
def test_kernels_of_any_rank_are_turned_there_and_back(there, here):
  weight = tensor(*there)
  filled, back = there_and_back(
      {'a.weight': weight}, (('a', 'b'),), {'params/b/kernel': here}
  )
  kernel = filled['params/b/kernel']
  # An output is a row there, a last index here.
  for out in range(4):
    np.testing.assert_array_equal(
        np.moveaxis(kernel[..., out], -1, 0).ravel(), weight[out].ravel()
    )
  np.testing.assert_array_equal(back['a.weight'], weight)


@pytest.mark.parametrize(
    ('there', 'here'),
    [
        ((4, 3), (4, 3)),
        ((3, 4, 2), (2, 3, 4)),
        ((4, 3, 2), (3, 4)),
        ((4, 3, 2, 2), (2, 2, 4, 3)),
        ((4,), (4, 1)),
        ((4, 1), (4,)),
    ],
)
def test_kernels_of_other_shapes_are_refused(there, here):
  template = {'params': {'b': {'kernel': np.zeros(here)}}}
  (problem,) = problems({'a.weight': tensor(*there)}, (('a', 'b'),), template)
  assert f'has to be {list(here)}' in problem


def test_what_the_model_calls_no_kernel_keeps_its_axes():
  state = {
      'embed.weight': tensor(6, 6),
      'norm.weight': tensor(3, 1, 1),
      'gate': tensor(1, 3, 1, 1),
      'gamma.scale': tensor(),
      'table': tensor(2, 3, 4),
  }
  rules = (
      *(('embed', 'embed'), ('norm', 'norm'), ('gate', 'gate')),
      *((r'gamma\.scale', 'gamma'), ('table', 'embed/table')),
  )
  shapes = {
      'params/embed/embedding': (6, 6),
      'params/norm/scale': (3,),
      'params/gate': (1, 1, 1, 3),
      'params/gamma': (1,),
      'params/embed/table': (2, 3, 4),
  }
  filled, _ = there_and_back(state, rules, shapes)
  for name, path in zip(state, shapes, strict=True):
    np.testing.assert_array_equal(filled[path].ravel(), state[name].ravel())
  flat = {'params': {'gate': np.zeros((3, 2))}}
  (problem,) = problems({'gate': tensor(2, 3)}, rules, flat)
  assert 'has to be [3, 2]' in problem  # Nothing is turned without a word.


def test_the_collection_is_the_one_that_has_the_variable():
  state = {'ema.bases': tensor(1, 4, 3)}
  rules = ((r'ema\.bases', 'ema/bases'),)
  filled, _ = there_and_back(state, rules, {'moving/ema/bases': (4, 3)})
  np.testing.assert_array_equal(
      filled['moving/ema/bases'], state['ema.bases'][0]
  )
  both = {'moving/ema/bases': (4, 3), 'params/ema/bases': (4, 3)}
  with pytest.raises(ValueError, match='name the collection'):
    there_and_back(state, rules, both)
  named = ((r'ema\.bases', 'moving/ema/bases'),)
  state['b'] = tensor(4, 3)
  there_and_back(state, (*named, ('b', 'params/ema/bases')), both)


def test_aliases_are_compared_and_both_written_back():
  state = {'head.weight': tensor(5, 4), 'embed.weight': tensor(5, 4)}
  rules = (('embed', 'embed'), *alias(('head', 'embed')))
  shapes = {'params/embed/embedding': (5, 4)}
  _, back = there_and_back(state, rules, shapes)
  assert set(back) == set(state)
  # safetensors keeps one of several names.
  there_and_back({'head.weight': tensor(5, 4)}, rules, shapes)
  state['head.weight'] = state['head.weight'] + 1
  with pytest.raises(ValueError, match='head.weight.* differs from embed'):
    there_and_back(state, rules, shapes)


def test_names_of_keras_and_tensorflow_have_kernels_as_they_are_here():
  state = {
      'conv/kernel:0': tensor(3, 2, 5, 4),
      'conv/bias:0': tensor(4),
      'up/kernel:0': tensor(2, 2, 4, 4),
      'depthwise/depthwise_kernel:0': tensor(3, 3, 4, 2),
      'dense/kernel:0': tensor(4, 6),
      'bn/gamma:0': tensor(4),
      'bn/beta:0': tensor(4) + 1,
      'bn/moving_mean:0': tensor(4) + 2,
      'bn/moving_variance:0': tensor(4) + 3,
      'table/embeddings:0': tensor(4, 4),
  }
  names = ('conv', 'up', 'depthwise', 'dense', 'bn', 'table')
  shapes = {
      'params/net/conv/kernel': (3, 2, 5, 4),
      'params/net/conv/bias': (4,),
      'params/net/up/kernel': (2, 2, 4, 4),
      'params/net/depthwise/kernel': (3, 3, 1, 8),
      'params/net/dense/kernel': (1, 1, 4, 6),
      'params/net/bn/scale': (4,),
      'params/net/bn/bias': (4,),
      'batch_stats/net/bn/mean': (4,),
      'batch_stats/net/bn/var': (4,),
      'params/net/table/embedding': (4, 4),
  }
  rules = tuple((name, f'net/{name}') for name in names)
  filled, back = there_and_back(state, rules, shapes, 'keras')
  assert set(back) == set(state)
  for name, path in zip(state, shapes, strict=True):
    np.testing.assert_array_equal(filled[path].ravel(), state[name].ravel())


def test_moving_averages_of_tensorflow_go_before_the_variables():
  name = 'resnet/conv1/weights'
  state = {
      name: tensor(1, 1, 2, 3),
      f'{name}/ExponentialMovingAverage': tensor(1, 1, 2, 3) + 1,
      f'{name}/Momentum': tensor(1, 1, 2, 3) + 2,
      'global_step': np.int64(7),
  }
  rules = (*TRAINING, ('resnet/conv1', 'stem'))
  filled, back = there_and_back(
      state, rules, {'params/stem/kernel': (1, 1, 2, 3)}, 'keras'
  )
  average = state[f'{name}/ExponentialMovingAverage']
  np.testing.assert_array_equal(filled['params/stem/kernel'], average)
  assert set(back) == {f'{name}/ExponentialMovingAverage'}


def test_rules_of_deeplab_take_the_names_of_tensorflow():
  scope = 'xception_65/entry_flow/block1/unit_1/xception_module'
  state = {
      'xception_65/entry_flow/conv1_1/weights': tensor(3, 3, 3, 4),
      'xception_65/entry_flow/conv1_1/BatchNorm/moving_variance': tensor(4),
      f'{scope}/separable_conv1_depthwise/depthwise_weights': tensor(
          3, 3, 4, 1
      ),
      'logits/semantic/biases': tensor(5),
  }
  block = 'params/backbone/block0/separable1'
  shapes = {
      'params/backbone/stem1/conv/kernel': (3, 3, 3, 4),
      'batch_stats/backbone/stem1/norm/var': (4,),
      f'{block}/depthwise/conv/kernel': (3, 3, 1, 4),
      'params/classifier/bias': (5,),
  }
  found = rules.find('tf', 'deeplabv3plus', 'xception/65')
  filled, _ = there_and_back(state, found, shapes, rules.layout('tf'))
  for name, path in zip(state, shapes, strict=True):
    np.testing.assert_array_equal(filled[path].ravel(), state[name].ravel())


def test_rules_of_resnet38_take_the_names_of_mxnet():
  state = {
      'arg:res2a_branch2a_weight': tensor(4, 3, 1, 1),
      'aux:bn2a_branch2a_moving_mean': tensor(3),
  }
  shapes = {
      'params/level2_0/conv1/kernel': (1, 1, 3, 4),
      'batch_stats/level2_0/norm1/mean': (3,),
  }
  found = rules.find('resnet38', 'backbone', 'resnet38/a1')
  filled, back = there_and_back(state, found, shapes, rules.layout('resnet38'))
  assert filled['params/level2_0/conv1/kernel'].shape == (1, 1, 3, 4)
  assert set(back) == set(state)


@pytest.mark.parametrize(
    ('weight', 'mean'),
    [
        ('arg:conv0_weight', 'aux:bn_0_moving_mean'),
        ('conv0_weight', 'bn_0_running_mean'),
    ],
)
def test_names_of_mxnet_have_kernels_as_in_pytorch(weight, mean):
  state = {
      weight: tensor(4, 3, 2, 2),
      'bn_0_gamma': tensor(4),
      'bn_0_beta': tensor(4) + 1,
      mean: tensor(4) + 2,
  }
  filled, _ = there_and_back(
      state,
      ((r'conv(\d)', r'conv\1'), (r'bn_(\d)', r'norm\1')),
      {
          'params/conv0/kernel': (2, 2, 3, 4),
          'params/norm0/scale': (4,),
          'params/norm0/bias': (4,),
          'batch_stats/norm0/mean': (4,),
      },
      'mxnet',
  )
  np.testing.assert_array_equal(
      filled['params/conv0/kernel'], state[weight].transpose(2, 3, 1, 0)
  )
  np.testing.assert_array_equal(filled['batch_stats/norm0/mean'], state[mean])


def test_the_package_of_a_source_says_its_layout():
  layouts = {source: rules.layout(source) for source in rules.names()}
  assert layouts['torchvision'] == layouts['caffe'] == 'torch'
  assert (layouts['tf'], layouts['resnet38']) == ('keras', 'mxnet')
