"""What holds for every file of segjax/models; see its README."""

import functools
import importlib
import inspect
import pathlib
import re

from flax import linen as nn
import jax
import jax.numpy as jnp
import pytest

from segjax import models
from segjax.data import fields
from segjax.layers.conv import ConvTranspose
from segjax.layers.upsample import BilinearUpsample

FOLDER = pathlib.Path(models.__file__).parent
NAMES = [p.stem for p in sorted(FOLDER.glob('*.py')) if p.stem != '__init__']
CLASSES = 21
IMAGE = jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32)

# Of `Model(num_classes=21)`, and where the number is published, if it is.
PARAMETERS = {
    'acfnet': 108_996_351,
    'adapnet': 21_069_356,  # 21,069,148 of 5 classes.
    'ann': 46_230_154,
    'atanbori': 897_954,  # By its authors' code 889,962 of 13 classes.
    'attention_unet': 34_879_873,  # Its code: 34,878,833 of 5 classes.
    'autodeeplab': 10_147_941,  # The paper: 10.15 million of 19 classes.
    'autodeeplab_search': 11_572_084,
    'axial_deeplab': 137_844_968,
    'bayesian_segnet': 29_455_125,
    'bisenetv1': 13_426_495,
    'bisenetv2': 14_809_033,
    'cacnet': 43_055_347,  # 43,043,027 of 5 classes.
    'cgnet': 496_839,  # Its authors' code: 496,306 of 19 classes, no bias.
    'contextnet': 914_442,  # SegmenTron's: 912,012 of 6 classes.
    'ccnet': 49_827_595,  # mmsegmentation: 49,815,275 of 5 classes.
    'convcrf': 42_543_655,
    'cpnet': 52_155_530,
    'crf_rnn': 134_491_103,  # FCN's, a bias of 21, and 3 times 21 * 21.
    'danet': 49_850_166,  # mmsegmentation: 49,821,430 of 5 classes.
    'ddrnet': 5_734_538,  # mmsegmentation: 5,732,458 of 5 classes.
    'cascade_psp': 67_810_853,  # Its code: 67,683,433 of 1 channel.
    'deconvnet': 251_805_653,
    'deeplabv1': 20_505_429,
    'deeplabv2': 44_048_532,
    'deeplabv3': 42_004_074,  # torchvision, deeplabv3_resnet50.
    'deeplabv3plus': 41_055_413,
    'deformable_deeplab': 44_890_251,  # 44,857,467 of 5 classes.
    'denseaspp': 8_282_517,  # The code of its authors: 8,269,189 of 5 classes.
    'dgcwnet': 41_052_906,  # 41,040,586 of 5 classes.
    'dilatednet': 141_149_720,
    'dinov2_linear': 22_065_045,
    'dnlnet': 50_025_867,  # mmsegmentation: 50,013,547 of 5 classes.
    'dpt': 110_559_466,
    'drn': 15_896_901,  # The code of its authors: 15,884,597 of 5 classes.
    'dynamic_routing': 17_786_122,  # 17,776,890 of 5 classes in its code.
    'emanet': 42_350_986,
    'encnet': 35_894_527,
    'encoder_decoder': 34_969_109,
    'enet': 358_632,  # Its code: 356,328 of 5 classes.
    'eomt': 315_888_662,
    'erfnet': 2_084_353,  # mmsegmentation: 2,082,289 of 5 classes.
    'fast_scnn': 1_457_007,
    'espnet': 366_589,  # Its authors' code: 365,109 of 20 classes.
    'dupsampling': 29_340_897,
    'exfuse': 97_367_316,
    'fasterseg': 4_354_079,  # Its code, less what it does not use.
    'fasterseg_search': 252_227_980,
    'fastfcn': 68_712_586,  # mmsegmentation: 68,700,266 of 5 classes.
    'fc_densenet': 9_324_661,  # bfortuner's: 9,322,091 of 11 classes.
    'fcn': 134_489_759,
    'fcn_dilated': 35_322_218,  # torchvision, fcn_resnet50.
    'frrn': 17_746_901,
    'fully_dilated': 9_420_373,
    'gcnet': 49_631_755,  # mmsegmentation: 49,619,435 of 5 classes.
    'gcn': 59_369_620,
    'gscnn': 137_278_637,  # Its code: 137,274,862 of 6 classes, a spare side.
    'hdc_duc': 67_397_888,  # 65,038,464 of 19 classes in its code.
    'hrnet': 65_860_821,  # The paper: 65.9 million.
    'hypercolumns': 137_804_081,  # The release, and 21 * 4097 of a classifier.
    'icnet': 47_828_607,  # mmsegmentation: 47,822,415 of 5 classes.
    'isanet': 37_708_938,
    'linknet': 11_535_957,  # The code of its authors.
    'kmax_deeplab': 72_206_590,
    'lraspp': 3_221_538,  # torchvision, lraspp_mobilenet_v3_large.
    'ocnet': 57_724_906,  # Its authors' code: 57,708,490 of 5 classes.
    'lw_refinenet': 27_357_525,
    'pan': 21_481_596,  # smp.PAN('resnet34', classes=21).
    'mask_rcnn': 44_077_773,  # torchvision: 43,997,043 of 6 classes.
    'panet': 166_955_881,  # JaveyWang's, without ImageNet's classifier.
    'manet': 31_786_533,  # smp.MAnet('resnet34', classes=21).
    'mobile_unet': 8_873_237,  # 8,872,197 of 5 classes.
    'mask2former': 44_008_214,  # Its authors' table: 44 million.
    'max_deeplab': 77_699_117,
    'nvidia_hmsa': 72_145_898,  # NVIDIA's code: 13,840,594, W18, 5 classes.
    'ocrnet': 70_375_146,  # The authors' code: 12,069,842, W18, 5 classes.
    'panoptic_deeplab': 55_309_384,  # 55,305,529 of 6 classes in its code.
    # detectron2: 45,564,148 of 6 and 5 classes, norms not counted.
    'panoptic_fpn': 45_704_290,
    'parsenet': 20_528_981,
    'pidnet': 7_721_387,  # mmsegmentation: 7,717,259 of 5 classes.
    'pointrend': 28_717_507,
    'psanet': 59_140_234,
    'pspnet': 48_977_034,
    'resnet38': 124_042_581,  # Its authors' code: 123,968,837 of 5 classes.
    'refinenet': 118_052_437,  # DrSleep's: 118,017,862 of 6 classes.
    'retinal_dilatednet': 65_803_157,
    'sanet': 43_135_613,  # 43,110,893 of 5 classes.
    'sds': 130_658_421,
    'segnet': 29_455_125,
    'segnet_basic': 1_417_237,
    'segformer': 3_720_565,
    'segnext': 4_230_261,  # mmsegmentation: 4,226,149 of 5 classes.
    'sfnet': 13_321_620,  # Its authors' code: 13,313,880 of 6 classes.
    'segresnet': 53_564_309,
    'semantic_fpn': 28_498_165,
    'segfix': 65_700_160,  # Its authors' code: 65,697,344 of 8 directions.
    'setr': 316_697_172,
    'stdc': 8_573_793,  # mmsegmentation: 8,567,601 of 5 classes.
    'smoothed_dilated': 44_049_668,  # 42,869,956 of 5 classes.
    'tf_pets_unet': 6_497_333,
    'unet': 29_063_146,
    'unet_backbone': 24_439_269,  # smp.Unet('resnet34', classes=21).
    'unetplusplus': 26_081_509,  # smp.UnetPlusPlus('resnet34', classes=21).
    'upernet': 66_416_778,
}
# Those that may stand on any of several backbones.
ON_BACKBONES = [
    name
    for name in NAMES
    if 'backbone' in models.create(name, CLASSES).__dataclass_fields__
]
# Of these, those that take PointRend's head; detectors have one for masks.
WITH_POINTS = [
    name
    for name in ON_BACKBONES
    if getattr(models.create(name, CLASSES), 'points', None) == ''
    and hasattr(models.module(name), 'loss')
]
# On plain vision transformers.
ON_TRANSFORMERS = ('dinov2_linear', 'dpt', 'eomt', 'setr')


# What is traced of those whose layers are many and alike.
FEWER = {
    'autodeeplab_search': dict(layers=2),
    'fasterseg_search': dict(layers=3),
}


@functools.cache
def configured(name):
  """The model of the config without an argument, or with fewer layers."""
  config = importlib.import_module(f'configs.{name}').get_config()
  assert config.model_name == name
  fields = {**config.model, **FEWER.get(name, {})}
  return models.create(config.model_name, CLASSES, **fields)


def size(model):
  """(height, width) of logits: IMAGE's, or what the model takes alone."""
  return getattr(model, 'sides', None) or IMAGE.shape[1:3]


def image(model):
  """An image, as a shape, that the model has logits of that `size` for."""
  batch, _, _, channels = IMAGE.shape
  height, width = size(model)
  more = 2 * getattr(model, 'halo', 0)
  shape = (batch, height + more, width + more, channels)
  return jax.ShapeDtypeStruct(shape, jnp.bfloat16)


def reads(model, train=False):
  """Names of the fields that a model is given."""
  names = getattr(model, 'reads', ('image',))
  return getattr(model, 'train_reads', names) if train else names


@functools.cache
def initialised(model):
  given = fields.placeholders(reads(model), image(model).shape)
  return jax.eval_shape(lambda: model.init(jax.random.key(0), **given))


@functools.cache
def traced(model, *, train):
  """Outputs and intermediate values of a model in bfloat16, as shapes.

  Tracing is what these tests cost: a model is traced once in each mode. The
  third result are the names of its layers that enlarge by a transposed
  convolution.
  """
  enlarging = set()

  def record(call, args, kwargs, context):
    layer = context.module
    if isinstance(layer, BilinearUpsample) or (
        isinstance(layer, ConvTranspose) and layer.stride > 1
    ):
      enlarging.add('/'.join(layer.path))
    return call(*args, **kwargs)

  variables = initialised(model)
  given = fields.placeholders(reads(model, train), image(model).shape)
  given['image'] = image(model)
  params = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), variables['params']
  )
  with nn.intercept_methods(record):
    out, collections = jax.eval_shape(
        functools.partial(
            model.apply,
            train=train,
            capture_intermediates=True,
            mutable=[*(variables.keys() - {'params'}), 'intermediates'],
        ),
        {**variables, 'params': params},
        **given,
        rngs={'dropout': jax.random.key(0), 'sample': jax.random.key(1)},
    )
  return out, collections, enlarging


def outputs(model, *, train):
  return traced(model, train=train)[:2]


# Values that stay in float32: coordinates are exact to parts of a pixel, scores
# are ranked, and costs are sums.
EXACT = ('boxes', 'points', 'scores', 'mflops', 'expected_mflops')


def test_models_are_found_by_their_files():
  assert models.names() == NAMES


@pytest.mark.parametrize('name', NAMES)
def test_outputs_are_logits_at_the_size_of_the_image_less_its_margin(name):
  model = configured(name)
  out, _ = outputs(model, train=False)
  assert {'logits', 'aux'} <= set(out)
  for logits in (out['logits'], *out['aux'].values()):
    assert logits.shape == (2, *size(model), CLASSES)


@pytest.mark.parametrize('name', NAMES)
def test_what_evaluation_returns_training_returns_too(name):
  model = configured(name)
  trained, _ = outputs(model, train=True)
  evaluated, _ = outputs(model, train=False)
  assert evaluated == {key: trained[key] for key in evaluated}


@pytest.mark.parametrize('name', NAMES)
def test_training_keeps_the_shapes_of_moving_state(name):
  model = configured(name)
  _, collections = outputs(model, train=True)
  for collection, variables in initialised(model).items():
    if collection != 'params':
      assert collections[collection] == variables


@pytest.mark.parametrize(
    'name',
    [
        'ann',
        'cacnet',
        'cpnet',
        'deeplabv3',
        'dnlnet',
        'dpt',
        'ccnet',
        'danet',
        'dgcwnet',
        'emanet',
        'encnet',
        'fastfcn',
        'fcn_dilated',
        'gcnet',
        'isanet',
        'ocnet',
        'psanet',
        'pspnet',
        'unet',
        'upernet',
    ],
)
def test_without_a_level_there_is_no_auxiliary_head(name):
  config = importlib.import_module(f'configs.{name}').get_config()
  model = models.create(name, CLASSES, **{**config.model, 'aux_level': ''})
  level = configured(name).aux_level
  assert level in outputs(configured(name), train=True)[0]['aux']
  assert level not in outputs(model, train=True)[0]['aux']
  assert 'aux' not in initialised(model)['params']
  assert 'aux' in initialised(configured(name))['params']


@pytest.mark.parametrize('name', NAMES)
def test_what_enlarges_by_a_transposed_convolution_can_do_it_otherwise(name):
  out, _, enlarging = traced(configured(name), train=False)
  source = (FOLDER / f'{name}.py').read_text()
  if not enlarging and 'segjax.layers.upsample import' not in source:
    return
  fields_of = configured(name).__dataclass_fields__
  assert 'upsampling' in fields_of, f'{name}: {sorted(enlarging)}'
  assert fields_of['upsampling'].default == 'transposed'
  config = importlib.import_module(f'configs.{name}').get_config()
  assert config.model.upsampling == 'transposed'
  if enlarging:
    other = configured(name).clone(upsampling='nearest')
    changed, _, enlarging = traced(other, train=False)
    assert changed == out
    assert not enlarging


def test_only_the_layer_with_modes_enlarges_by_a_transposed_convolution():
  package = FOLDER.parent
  files = [*FOLDER.glob('*.py'), *(package / 'layers').glob('*.py')]
  naming = {
      path.name
      for path in files
      if re.search(r'\b(ConvTranspose|BilinearUpsample)\b', path.read_text())
  }
  # In `conv`, the transposed convolution itself, and a layer of stride 1.
  assert naming == {'conv.py', 'upsample.py'}


@pytest.mark.parametrize('name', WITH_POINTS)
def test_a_point_head_is_a_field_of_model_config_and_loss(name):
  config = importlib.import_module(f'configs.{name}').get_config()
  assert config.model.points == ''
  assert config.system_loss.point_weight == 1.0
  own = inspect.signature(models.module(name).loss).parameters
  assert own['point_weight'].default == 1.0
  text = 'c2(features=16, train_points=32, subdivision_points=64)'
  model = configured(name).clone(points=text)
  if getattr(model, 'align_corners', False):
    with pytest.raises(ValueError, match='set align_corners=False'):
      initialised(model)
    model = model.clone(align_corners=False)
  assert 'points' in initialised(model)['params']
  assert 'points' not in initialised(configured(name))['params']


@pytest.mark.parametrize('name', NAMES)
def test_every_layer_computes_in_the_type_it_is_given(name):
  _, collections = outputs(configured(name), train=True)
  values, _ = jax.tree.flatten_with_path(collections['intermediates'])
  wrong = [
      jax.tree_util.keystr(path, simple=True, separator='/')
      for path, value in values
      if jnp.issubdtype(value.dtype, jnp.floating)
      and value.dtype != jnp.bfloat16
      and path[-1].key not in EXACT
  ]
  assert not wrong


@pytest.mark.slow  # To trace all systems at their full size takes minutes.
@pytest.mark.parametrize('name', NAMES)
def test_parameters_are_as_many_as_recorded(name):
  params = initialised(models.create(name, CLASSES))['params']
  assert sum(x.size for x in jax.tree.leaves(params)) == PARAMETERS[name]


@pytest.mark.parametrize('name', NAMES)
def test_parameters_are_named_by_their_role(name):
  params = initialised(configured(name))['params']
  for path, _ in jax.tree.leaves_with_path(params):
    for key in path:
      assert key.key.islower(), f'{name}: {key.key} is a name flax chose'


@pytest.mark.parametrize('name', NAMES)
def test_an_unknown_field_is_refused_with_the_fields_there_are(name):
  with pytest.raises(ValueError, match='no field depht. Known: .'):
    models.create(name, CLASSES, depht=50)


@pytest.mark.parametrize('name', ON_BACKBONES)
def test_an_unknown_backbone_is_refused_with_the_names(name):
  model = models.create(name, CLASSES, backbone='resnet/51')
  with pytest.raises(ValueError, match="'resnet/51'. Known: .*resnet/50"):
    initialised(model)


@pytest.mark.parametrize('name', ON_BACKBONES)
def test_a_backbone_that_lacks_what_is_read_is_refused(name):
  other = 'resnet/18' if name in ON_TRANSFORMERS else 'vit/tiny'
  model = models.create(name, CLASSES, backbone=other)
  with pytest.raises(ValueError, match='of another family'):
    initialised(model)


@pytest.mark.parametrize(
    ('name', 'field'),
    [('deeplabv3', 'aux_level'), ('pspnet', 'aux_level'), ('lraspp', 'low')],
)
def test_a_level_that_the_backbone_lacks_is_refused(name, field):
  model = models.create(name, CLASSES, **{field: 'c6'})
  with pytest.raises(
      ValueError, match='reads c6 of its backbone, .* it has c1'
  ):
    initialised(model)


@pytest.mark.parametrize('name', ['deeplabv4', 'DeepLabv3', '', '__init__'])
def test_an_unknown_model_is_refused_with_the_names(name):
  with pytest.raises(ValueError, match='Known: .*deeplabv3') as error:
    models.create(name, CLASSES)
  assert repr(name) in str(error.value)


@pytest.mark.parametrize('num_classes', [-1, 0])
def test_fewer_than_one_channel_is_refused(num_classes):
  with pytest.raises(ValueError, match=f'num_classes={num_classes}'):
    models.create('deeplabv3', num_classes)
