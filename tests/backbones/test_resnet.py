from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import backbones
from segjax.backbones import resnet
from tests.backbones.shapes import shapes

# torchvision's published counts for 1000 classes, less those of its classifier.
PARAMETERS = {
    '18': 11_689_512 - (512 + 1) * 1000,
    '34': 21_797_672 - (512 + 1) * 1000,
    '50': 25_557_032 - (2048 + 1) * 1000,
    '101': 44_549_160 - (2048 + 1) * 1000,
    '152': 60_192_808 - (2048 + 1) * 1000,
    'next50_32x4d': 25_028_904 - (2048 + 1) * 1000,
    'next101_32x4d': 44_177_704 - (2048 + 1) * 1000,  # timm's.
    'next101_32x8d': 88_791_336 - (2048 + 1) * 1000,
    'wide50_2': 68_883_240 - (2048 + 1) * 1000,
    'wide101_2': 126_886_696 - (2048 + 1) * 1000,
    '50_icnet': 5_921_760,  # The prototxt's, of its layers conv1 to conv5_3.
    '50_caffe': 25_557_032 - (2048 + 1) * 1000,
    '101_caffe': 44_549_160 - (2048 + 1) * 1000,  # As many in other places.
    '101_tf': 44_549_160 - (2048 + 1) * 1000,
    '101_msra': 44_549_160 - (2048 + 1) * 1000,
    # TuSimple's for Cityscapes, 65,038,464, less its four classifiers.
    '101_duc': 65_038_464 - 4 * (9 * 2048 + 1) * 19 * 16,
    # mmsegmentation's, of the backbone alone.
    '50_v1c': 23_527_264,
    '50_v1d': 23_527_264,
    # v1s with other dilations.
    '18_sfnet': 11_324_992,
    '50_sfnet': 23_631_808,
    '101_sfnet': 42_623_936,
    '50_beta': 23_631_808,  # Those of v1s: pooling has none.
}


def convolutions(name, field, **fields):
  """{path of a convolution of a ResNet: a field of it}."""
  found = {}

  def record(call, args, kwargs, context):
    if isinstance(context.module, nn.Conv):
      path = '/'.join(context.module.path)
      found[path] = getattr(context.module, field)
    return call(*args, **kwargs)

  with nn.intercept_methods(record):
    shapes(name, **fields)
  return found


def dilations(**fields):
  """{path of a convolution of resnet/50: its dilation}."""
  return convolutions('resnet/50', 'kernel_dilation', **fields)


@pytest.mark.parametrize('size', [(64, 96), (65, 79)])
def test_dilated_features_subsampled_equal_strided_ones(random_variables, size):
  image = np.random.default_rng(1).normal(size=(1, *size, 3))
  strided = backbones.build('resnet/tiny')
  variables = random_variables(strided, image.shape)
  sparse = jax.jit(strided.apply)(variables, image)['c5']
  assert sparse.std() > 0.1 * np.abs(sparse).max()
  for output_stride in (8, 16):
    dilated = backbones.build('resnet/tiny', output_stride=output_stride)
    dense = jax.jit(dilated.apply)(variables, image)['c5']
    step = 32 // output_stride
    np.testing.assert_allclose(
        dense[:, ::step, ::step], sparse, atol=1e-5 * np.abs(sparse).max()
    )


@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_levels_stop_striding_at_the_output_stride(output_stride):
  feats, _ = shapes('resnet/50', (2, 65, 97, 3), output_stride=output_stride)
  assert list(feats) == ['c1', 'c2', 'c3', 'c4', 'c5']
  for level, width in enumerate((64, 256, 512, 1024, 2048), 1):
    stride = min(2**level, output_stride)
    shape = (2, -(-65 // stride), -(-97 // stride), width)
    assert feats[f'c{level}'].shape == shape


@pytest.mark.parametrize('name', PARAMETERS)
def test_there_are_as_many_parameters_as_the_originals_have(name):
  _, variables = shapes(f'resnet/{name}')
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert sum(sizes) == PARAMETERS[name]


def test_every_variant_is_counted_or_a_style_of_one_that_is():
  for name in set(resnet.VARIANTS) - {'tiny', *PARAMETERS}:
    depth, style = name.split('_')
    assert depth in PARAMETERS
    assert style in resnet.STYLES


@pytest.mark.parametrize('style', resnet.STYLES)
def test_a_deep_stem_is_three_convolutions_at_stride_two(style):
  feats, variables = shapes(f'resnet/50_{style}', (1, 65, 97, 3))
  widths = resnet.STYLES[style]['deep_stem']
  kernels = [
      variables['params'][f'stem{i}']['conv']['kernel'].shape for i in (1, 2, 3)
  ]
  assert kernels == [
      (3, 3, before, after)
      for before, after in zip((3, *widths), widths, strict=False)
  ]
  assert feats['c1'].shape == (1, 33, 49, widths[-1])


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_an_average_shortcut_counts_no_padding_and_keeps_the_type(dtype):
  x = jnp.ones((1, 5, 7, 4), dtype)
  block = resnet.BasicBlock(8, stride=2, average=True)
  variables = block.init(jax.random.key(0), x, False)
  cast = jax.tree.map(lambda leaf: leaf.astype(dtype), variables)
  out = block.apply(cast, x, False)
  assert out.shape == (1, 3, 4, 8)
  assert out.dtype == dtype
  np.testing.assert_array_equal(out, np.broadcast_to(out[:, :1, :1], out.shape))


def test_the_stem_is_kept_before_its_norm(random_variables):
  model = backbones.build('resnet/tiny(keep_stem=True)')
  assert model.levels == ('stem', 'c1', 'c2', 'c3', 'c4', 'c5')
  image = jax.random.normal(jax.random.key(0), (1, 33, 41, 3))
  variables = random_variables(model, image.shape)
  feats = jax.jit(model.apply)(variables, image)
  assert set(feats) == set(model.levels)
  params = variables['params']['stem']['norm']
  moving = variables['batch_stats']['stem']['norm']
  scale = params['scale'] / np.sqrt(moving['var'] + 1e-5)
  normed = (feats['stem'] - moving['mean']) * scale + params['bias']
  np.testing.assert_allclose(feats['c1'], nn.relu(normed), atol=1e-4)
  with pytest.raises(ValueError, match='this variant has 3'):
    shapes('resnet/50_v1c', keep_stem=True)


def test_class_logits_come_when_there_are_classes():
  without, _ = shapes('resnet/tiny', (2, 65, 97, 3))
  feats, _ = shapes('resnet/tiny', (2, 65, 97, 3), num_classes=7)
  assert 'class_logits' not in without
  assert feats['class_logits'].shape == (2, 7)


def test_the_first_block_of_a_dilated_stage_keeps_the_dilation_so_far():
  found = dilations(output_stride=8)
  assert found['stage2_3/conv2/conv'] == 1
  assert found['stage3_0/conv2/conv'] == 1
  assert found['stage3_1/conv2/conv'] == 2
  assert found['stage3_5/conv2/conv'] == 2
  assert found['stage4_0/conv2/conv'] == 2
  assert found['stage4_1/conv2/conv'] == 4


def test_the_first_block_dilates_like_the_others_when_told_to():
  found = dilations(output_stride=8, dilate_first=True)
  assert found['stage2_0/conv2/conv'] == 1
  assert found['stage3_0/conv2/conv'] == 2
  assert found['stage4_0/conv2/conv'] == 4


def test_given_dilations_leave_the_strides():
  options = dict(dilations=(1, 1, 2, 4))
  found, plain = dilations(**options), dilations(output_stride=8)
  assert found == plain
  strides = convolutions('resnet/50', 'strides', **options)
  assert strides == convolutions('resnet/50', 'strides')


def test_blocks_of_sfnet_dilate_their_last_3x3_and_stride():
  basic = convolutions('resnet/18_sfnet', 'kernel_dilation')
  for block in ('stage3_0', 'stage3_1', 'stage4_0', 'stage4_1'):
    assert basic[f'{block}/conv1/conv'] == 1
    assert basic[f'{block}/conv2/conv'] == 2 ** (int(block[5]) - 2)
  deep = convolutions('resnet/50_sfnet', 'kernel_dilation')
  assert {deep[f'stage3_{i}/conv2/conv'] for i in range(6)} == {2}
  assert {deep[f'stage4_{i}/conv2/conv'] for i in range(3)} == {4}
  for name in ('18_sfnet', '50_sfnet'):
    feats, _ = shapes(f'resnet/{name}', (1, 64, 64, 3))
    assert feats['c5'].shape[1:3] == (2, 2)


def test_dilations_are_of_all_stages():
  with pytest.raises(ValueError, match='one for each stage'):
    shapes('resnet/50', dilations=(2, 4))


def test_hybrid_dilations_of_a_stage_begin_again():
  found = dilations(output_stride=8, dilations=(1, 1, (1, 2, 5, 9), (5, 9, 17)))
  assert [found[f'stage3_{i}/conv2/conv'] for i in range(6)] == [
      *(1, 2, 5, 9),
      *(1, 2),
  ]
  assert [found[f'stage4_{i}/conv2/conv'] for i in range(3)] == [5, 9, 17]
  assert {found[f'stage2_{i}/conv2/conv'] for i in range(4)} == {1}


def test_the_last_stage_has_one_list_of_dilations():
  with pytest.raises(ValueError, match='leave one out'):
    shapes('resnet/50', dilations=(1, 1, 2, (5, 9)), multi_grid=(1, 2, 4))


@pytest.mark.parametrize('side', [33, 36])
def test_padding_as_in_tensorflow_equals_same(side):
  image = np.random.default_rng(0).normal(size=(1, side, side + 1, 3))
  image = image.astype(np.float32)
  model = backbones.build('resnet/tiny', tensorflow_padding=True)
  feats, variables = jax.jit(model.init_with_output)(jax.random.key(0), image)
  kernel = variables['params']['stem']['conv']['kernel']
  stem = jax.lax.conv_general_dilated(
      image, kernel, (2, 2), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )
  expected = nn.relu(stem / np.sqrt(1 + 1e-5))
  np.testing.assert_allclose(feats['c1'], expected, rtol=1e-4, atol=1e-5)
  # Blocks begin as the identity.
  pooled = nn.max_pool(feats['c1'], (3, 3), (2, 2), 'SAME')
  np.testing.assert_array_equal(feats['c2'], pooled)


@pytest.mark.parametrize(('side', 'expected'), [(64, 15), (66, 16), (800, 199)])
def test_the_pool_of_a_duc_resnet_has_no_padding(side, expected):
  feats, _ = shapes('resnet/101_duc', (1, side, side, 3))
  assert feats['c2'].shape[1:3] == (expected, expected)


def test_a_caffe_bottleneck_strides_in_its_first_convolution():
  found = convolutions('resnet/101_caffe', 'strides')
  strided = sorted(path for path, stride in found.items() if stride == 2)
  assert strided == ['stage2_0/conv1/conv', 'stage2_0/shortcut/conv'] + [
      f'stage{stage}_0/{name}/conv'
      for stage in (3, 4)
      for name in ('conv1', 'shortcut')
  ] + ['stem/conv']


@pytest.mark.parametrize(('side', 'expected'), [(65, 17), (48, 13), (46, 12)])
def test_the_pool_of_a_caffe_resnet_rounds_up(side, expected):
  feats, _ = shapes('resnet/101_caffe', (1, side, side, 3))
  assert feats['c2'].shape[1:3] == (expected, expected)


@pytest.mark.parametrize(
    ('output_stride', 'rates'),
    [(32, (1, 2, 4)), (16, (2, 4, 8)), (8, (4, 8, 16))],
)
def test_multi_grid_multiplies_the_dilation_of_the_last_stage(
    output_stride, rates
):
  plain = dilations(output_stride=output_stride)
  found = dilations(output_stride=output_stride, multi_grid=(1, 2, 4))
  blocks = [f'stage4_{i}/conv2/conv' for i in range(3)]
  assert tuple(found[block] for block in blocks) == rates
  for block in blocks:
    del plain[block], found[block]
  assert found == plain


@pytest.mark.parametrize(
    ('output_stride', 'rates'), [(16, (1, 4, 8)), (8, (2, 8, 16))]
)
def test_a_rate_of_0_keeps_the_dilation_of_the_stage_before(
    output_stride, rates
):
  found = dilations(output_stride=output_stride, multi_grid=(0, 2, 4))
  assert tuple(found[f'stage4_{i}/conv2/conv'] for i in range(3)) == rates


def test_features_can_be_changed_after_a_stage_and_its_first_block():
  names = []

  def halve(name, x):
    names.append(name)
    return x[:, ::2, ::2] if name in ('c2', 'c3_first') else x

  feats, _ = shapes('resnet/18', (1, 64, 64, 3), after=halve)
  assert names == [f'c{i}{end}' for i in range(2, 6) for end in ('_first', '')]
  assert [x.shape[1] for x in feats.values()] == [32, 16, 2, 1, 1]


def test_multi_grid_wants_a_rate_for_each_block():
  with pytest.raises(ValueError, match='each of the 3 blocks'):
    shapes('resnet/50', multi_grid=(1, 2))


def test_an_output_stride_that_a_resnet_has_not_is_refused():
  with pytest.raises(ValueError, match='output_stride=4: .* 8, 16 or 32'):
    shapes('resnet/50', output_stride=4)


def test_blocks_begin_as_the_identity():
  image = jax.random.normal(jax.random.key(1), (1, 32, 32, 3))
  model = backbones.build('resnet/tiny')
  feats, _ = jax.jit(model.init_with_output)(jax.random.key(0), image)
  pooled = nn.max_pool(feats['c1'], (3, 3), (2, 2), ((1, 1), (1, 1)))
  np.testing.assert_array_equal(feats['c2'], pooled)


@pytest.mark.parametrize('name', ['resnet/51', 'resnet', 'vit/b/16', ''])
def test_an_unknown_backbone_is_refused_with_the_names(name):
  with pytest.raises(ValueError, match='Known: .*resnet/18') as error:
    backbones.build(name)
  assert repr(name) in str(error.value)


@pytest.mark.parametrize('block', [resnet.BasicBlock, resnet.Bottleneck])
def test_an_absolute_scale_has_no_sign_and_does_not_begin_at_0(block):
  x = np.random.default_rng(0).normal(size=(1, 5, 6, 4)).astype(np.float32)
  block = block(2, absolute_scale=True)
  apply = jax.jit(lambda variables: block.apply(variables, x, False))
  variables = jax.jit(lambda key: block.init(key, x, False))(jax.random.key(0))
  names = [n for n in variables['params'] if 'norm' in variables['params'][n]]
  assert {'conv1', 'conv2', 'shortcut'} <= set(names)
  expected = apply(variables)
  for name in names:
    scale = variables['params'][name]['norm']['scale']
    assert scale.min() > 0
    variables['params'][name]['norm']['scale'] = -scale
  np.testing.assert_array_equal(apply(variables), expected)


def test_channel_attention_ends_each_block():
  plain, attending = (
      shapes('resnet/tiny', channel_attention=on)[1]['params']
      for on in (False, True)
  )
  for name, block in attending.items():
    assert ('attention' in block) == name.startswith('stage')
    assert set(block) - {'attention'} == set(plain[name])


def test_the_last_stage_can_be_a_module_of_its_own(random_variables):
  image = jax.random.normal(jax.random.key(0), (1, 64, 96, 3))
  whole = backbones.build('resnet/tiny')
  variables = random_variables(whole, image.shape)
  own = {name: {} for name in variables}
  rest = {name: {} for name in variables}
  for collection, modules in variables.items():
    for name, module in modules.items():
      part = own if name.startswith('stage4') else rest
      part[collection][name] = module
  first = backbones.build('resnet/tiny', ('c4',), stages=3)
  stage = resnet.last_stage('resnet/tiny', 'trunk')
  feats = first.apply(rest, image)
  assert 'c5' not in feats
  np.testing.assert_allclose(
      stage.apply(own, feats['c4'], False),
      whole.apply(variables, image)['c5'],
      rtol=1e-5,
  )


def test_another_family_has_no_last_stage():
  with pytest.raises(ValueError, match="'vgg/16' is none of the ResNets"):
    resnet.last_stage('vgg/16', 'trunk')


def test_without_pooling_the_first_stage_strides():
  feats, _ = shapes('resnet/50_beta', (1, 65, 97, 3))
  assert {name: x.shape[1:3] for name, x in feats.items()} == {
      'c1': (33, 49),
      'c2': (17, 25),
      'c3': (9, 13),
      'c4': (5, 7),
      'c5': (3, 4),
  }
