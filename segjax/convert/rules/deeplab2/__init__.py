"""Modules of https://github.com/google-research/deeplab2.

Names are the paths of Keras' variables, as `{v.path: v.numpy() for v in
model.variables}` has them. In the published checkpoints of TensorFlow 2 the
same parts have the names of Python attributes.
"""

LAYOUT = 'keras'


def conv_norm(source, target):
  """Returns the rules of a `ConvNormAct`."""
  return (
      (f'{source}/conv', f'{target}/conv'),
      (f'{source}/batch_norm', f'{target}/norm'),
  )


def separable(source, target):
  """Returns the rules of a `SeparableConvNormAct`."""
  return (
      (f'{source}/depthwise/depthwise_conv', f'{target}/depthwise/conv'),
      (f'{source}/depthwise/batch_norm', f'{target}/depthwise/norm'),
      *conv_norm(f'{source}/pointwise', f'{target}/pointwise'),
  )


# Of a `Block` with attention along axes or without.
BLOCK = (
    ('(conv[123])_bn(?:_act)?/conv', r'\1/conv'),
    ('(conv[123])_bn(?:_act)?/batch_norm', r'\1/norm'),
    *conv_norm('shortcut', 'shortcut'),
    ('attention/(height|width)_axis/qkv_kernel', r'attention/\1/qkv/kernel'),
    (
        'attention/(height|width)_axis/batch_norm_(qkv|similarity)',
        r'attention/\1/\2_norm',
    ),
    (
        'attention/(height|width)_axis/batch_norm_retrieved_output',
        r'attention/\1/output_norm',
    ),
    (
        'attention/(height|width)_axis/(query|key|value)_rpe/embeddings',
        r'attention/\1/\2_position',
    ),
)


def backbone(shift=0):
  """Returns the rules of a ResNet of blocks, named as in `axial_resnet`.

  Args:
    shift: by how much the numbers of stages are smaller here.
  """
  rules = (
      *conv_norm('[^/]+/stem', 'stem1'),
      *conv_norm(r'[^/]+/stem/conv(\d)_bn(?:_act)?', r'stem\1'),
  )
  # The longest stage is the fourth of a SWideRNet-(1, 1, 4.5).
  for level in range(1, 6):
    for i in range(27):
      rules += tuple(
          (
              f'[^/]+/stage{level}/block{i + 1}/{pattern}',
              f'stage{level - shift}_{i}/{target}',
          )
          for pattern, target in BLOCK
      )
  return rules


def decoder(source, target, *, rates=True):
  """Returns the rules of a `Decoder` of Panoptic-DeepLab.

  Args:
    source: its path there.
    target: its path here.
    rates: whether it has ASPP, not a 1x1 convolution alone.
  """
  rules = conv_norm(f'{source}/aspp/proj_conv_bn_act', f'{target}/aspp')
  if rates:
    rules = (
        *conv_norm(f'{source}/aspp/proj_conv_bn_act', f'{target}/aspp/project'),
        *conv_norm(f'{source}/aspp/conv_bn_act', f'{target}/aspp/point'),
        *conv_norm(
            rf'{source}/aspp/aspp_conv(\d)/conv_bn_act',
            rf'{target}/aspp/atrous\1',
        ),
        *conv_norm(
            f'{source}/aspp/aspp_pool/conv_bn_act', f'{target}/aspp/image'
        ),
    )
  for i, level in enumerate(('c3', 'c2'), 1):
    rules += conv_norm(f'{source}/low_level_conv{i}', f'{target}/low_{level}')
    rules += separable(
        f'{source}/fusion_conv{i}/conv1_bn_act', f'{target}/fuse_{level}'
    )
  return rules


def head(source, target, predicts):
  """Returns the rules of a separable convolution and a classifier."""
  return (
      *separable(f'{source}/conv_block/conv1_bn_act', target),
      (f'{source}/final_conv', predicts),
  )


def block(source, target):
  """Returns the rules of a `Block`."""
  return tuple(
      (f'{source}/{there}', f'{target}/{here}') for there, here in BLOCK
  )


def panoptic_outputs(*, rates=True):
  """Returns the rules of `panoptic_outputs`; see `decoder`."""
  prefix = 'PanopticDeepLab'
  return (
      *decoder(f'{prefix}/semantic_decoder', 'semantic', rates=rates),
      *head(f'{prefix}/semantic_head', 'semantic_head', 'classifier'),
      *decoder(f'{prefix}/instance_decoder', 'instance', rates=rates),
      *head(f'{prefix}/instance_center_head', 'center_head', 'center'),
      *head(f'{prefix}/instance_regression_head', 'offset_head', 'offset'),
  )
