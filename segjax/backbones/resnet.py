"""ResNet, https://arxiv.org/abs/1512.03385, with stride or dilation.

A bottleneck strides in its 3x3 convolution ("v1b"), as in torchvision 0.28 and
most published weights. The variants differ in stem and shortcuts:

- v1c and v1s have a stem of three 3x3 convolutions, with 32, 32, 64 and with
  64, 64, 128 channels, and v1d has v1c's stem and shortcuts that average where
  they stride: Bag of Tricks, https://arxiv.org/abs/1812.01187.
- 'caffe' is DeepLabv2's: like the network that the authors of ResNet published
  it strides in the first 1x1 convolution; it dilates all blocks of a stage
  alike, and its pooling rounds sizes up.
- 'icnet' is that of ICNet's authors, pruned to half the width: it strides and
  dilates as 'caffe' does, and has v1c's stem.
- 'tf' is DeepLabv2's in TensorFlow: it pads even sides by one pixel more at
  their end where it strides, and its norms add 1e-3 to the variance.
- 'msra' is that of deformable convolutions' authors, in MXNet: it strides and
  dilates as 'caffe' does, and its pooling rounds sizes up without padding in
  front.
- 'duc' is that of HDC and DUC, https://arxiv.org/abs/1702.08502: v1s that
  strides in the first 1x1 convolution, and whose pooling has no padding.
- 'sfnet' is that of SFNet's authors, v1s that dilates and strides alike: the
  last 3x3 convolutions of the blocks have dilation 2 in stage 3 and 4 in stage
  4, and the output stride stays 32.
- 'beta' is ResNet-50-Beta of DeepLab2, https://arxiv.org/abs/2106.09748: v1s
  that strides in the first block in the place of pooling.
- 'next' is ResNeXt, https://arxiv.org/abs/1611.05431.
- 'wide' is Wide ResNet, https://arxiv.org/abs/1605.07146.

The option `absolute_scale=True` is for weights that were trained with
activated batch norms, as OCNet's: see `layers.norm.activated_batch_norm`.

Checked against torchvision 0.28, mmsegmentation 1.2.2 (v1b, v1c, v1d), timm
1.0.31 (v1d), hszhao/semseg (v1s), kazuto1011/deeplab-pytorch (caffe) and
google-research/deeplab2 (beta), and against PyTorch networks built after
divelab/dilated (tf) and TuSimple/TuSimple-DUC (duc). mmsegmentation dilates
only the first convolution of a basic block, so its ResNet-18 at output stride 8
is a different network.
"""

from collections.abc import Callable
import functools
import itertools

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import specs
from segjax.layers import norm as norms
from segjax.layers import remat
from segjax.layers.channel_attention import ChannelAttention
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.deform_conv import deformable
from segjax.layers.deform_conv import modulated
from segjax.layers.smoothed_conv import smoothed
from segjax.ops.pad import pad_as_tensorflow
from segjax.ops.pool import max_pool


def block_norms(epsilon, absolute_scale, momentum):
  """Returns the norm of a block's convolutions, and that of its last one.

  The scale of the last norm starts at 0, so that the block starts as the
  identity: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 5.1. An
  absolute scale has no gradient at 0, so none begins there.
  """
  if absolute_scale:
    norm = functools.partial(
        norms.activated_batch_norm, epsilon=epsilon, momentum=momentum
    )
    return norm, norm
  norm = functools.partial(norms.BatchNorm, epsilon=epsilon, momentum=momentum)
  return norm, functools.partial(norm, scale_init=nn.initializers.zeros)


class BasicBlock(nn.Module):
  """Adds two 3x3 convolutions to a shortcut; figure 5, left."""

  width: int
  stride: int = 1
  dilation: int = 1
  first_dilation: int = 0  # Dilation of the first 3x3; 0: `dilation`.
  average: bool = False  # See `shortcut`.
  absolute_scale: bool = False  # See `Backbone`.
  channel_attention: bool = False  # See `Backbone`.
  epsilon: float = 1e-5  # Of all norms.
  act: Callable | None = nn.relu  # Of the sum.
  dilate_second: bool = False  # Whether the first 3x3 never dilates.
  layer: Callable[..., nn.Module] = conv  # Of 3x3 convolutions.
  momentum: float = 0.9  # Of running statistics.

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    norm, last = block_norms(self.epsilon, self.absolute_scale, self.momentum)
    first = 1 if self.dilate_second else self.first_dilation or self.dilation
    y = ConvNormAct(
        self.width,
        stride=self.stride,
        dilation=first,
        norm=norm,
        layer=self.layer,
        name='conv1',
    )(x, train)
    y = ConvNormAct(
        self.width,
        dilation=self.dilation,
        norm=last,
        act=None,
        layer=self.layer,
        name='conv2',
    )(y, train)
    if self.channel_attention:
      y = ChannelAttention(name='attention')(y)
    y += shortcut(x, y, self.stride, self.average, train, norm)
    return self.act(y) if self.act else y


class Bottleneck(nn.Module):
  """Adds a 1x1, a 3x3 and a 1x1 convolution to a shortcut; figure 5, right."""

  width: int
  stride: int = 1
  dilation: int = 1
  first_dilation: int = 0  # Dilation of the first 3x3; 0: `dilation`.
  average: bool = False  # See `shortcut`.
  groups: int = 1  # Groups of the 3x3 convolution.
  widen: int = 1  # Factor on the channels of the 3x3 convolution.
  stride_first: bool = False  # Strides in the first 1x1 convolution.
  absolute_scale: bool = False  # See `Backbone`.
  channel_attention: bool = False  # See `Backbone`.
  epsilon: float = 1e-5  # Of all norms.
  expansion: int = 4  # Channels of the output, in `width`.
  act: Callable | None = nn.relu  # Of the sum.
  layer: Callable[..., nn.Module] = conv  # Of 3x3 convolutions.
  momentum: float = 0.9  # Of running statistics.

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    norm, last = block_norms(self.epsilon, self.absolute_scale, self.momentum)
    inner = self.width * self.widen
    strides = (self.stride, 1) if self.stride_first else (1, self.stride)
    y = ConvNormAct(
        inner, kernel=1, stride=strides[0], norm=norm, name='conv1'
    )(x, train)
    y = ConvNormAct(
        inner,
        stride=strides[1],
        dilation=self.first_dilation or self.dilation,
        groups=self.groups,
        norm=norm,
        layer=self.layer,
        name='conv2',
    )(y, train)
    y = ConvNormAct(
        self.expansion * self.width,
        kernel=1,
        norm=last,
        act=None,
        name='conv3',
    )(y, train)
    if self.channel_attention:
      y = ChannelAttention(name='attention')(y)
    y += shortcut(x, y, self.stride, self.average, train, norm)
    return self.act(y) if self.act else y


class OpenGroup(nn.Module):
  """Residual blocks whose last sum has no ReLU, as in DDRNet and PIDNet.

  Basic blocks have `width` channels. Bottlenecks have twice as many, and none
  of them ends with ReLU.
  """

  width: int
  depth: int = 1
  stride: int = 1  # Of the first block.
  bottleneck: bool = False

  @nn.compact
  def __call__(self, x, train):
    for i in range(self.depth):
      options = dict(stride=1 if i else self.stride, name=f'block{i}')
      if self.bottleneck:
        block = Bottleneck(self.width, expansion=2, act=None, **options)
      else:
        act = nn.relu if i < self.depth - 1 else None
        block = BasicBlock(self.width, act=act, **options)
      x = block(x, train)
    return x


class Stem(nn.Module):
  """Applies the 7x7 convolution, a norm and ReLU.

  Returns what the convolution computes as well, before the norm.
  """

  features: int
  padding: int | None
  norm: Callable[..., nn.Module]

  @nn.compact
  def __call__(self, x, train):
    raw = conv(self.features, 7, stride=2, padding=self.padding, name='conv')(x)
    return raw, nn.relu(self.norm(train, name='norm')(raw))


def shortcut(x, y, stride, average, train, norm):
  """Returns `x`, projected by a 1x1 convolution where its shape differs.

  Args:
    x: input of the block, [B, H, W, C].
    y: output of the block's convolutions, [B, h, w, D].
    stride: stride of the block.
    average: averages `stride` x `stride` pixels before a 1x1 convolution with
      stride 1, instead of taking every `stride`-th pixel.
    train: whether the norm takes its statistics from the batch.
    norm: of the 1x1 convolution.
  """
  if x.shape == y.shape:
    return x
  if average and stride > 1:
    # 'SAME' pads only at the end here, and padding does not count in the mean,
    # as with PyTorch's `ceil_mode=True, count_include_pad=False`.
    window = (stride, stride)
    mean = nn.avg_pool(x, window, window, 'SAME', count_include_pad=False)
    x, stride = mean.astype(x.dtype), 1
  return ConvNormAct(
      y.shape[-1],
      kernel=1,
      stride=stride,
      norm=norm,
      act=None,
      name='shortcut',
  )(x, train)


def pool(x, ceil=False, pad=True):
  """Applies 3x3 max pooling with stride 2.

  `ceil` rounds sizes up as Caffe does: even sides have one window more, which
  begins at the last pixel, or at the last but one without `pad`. Without both,
  no window reaches beyond the image.
  """
  before = int(pad)
  padding = before, before + int(ceil)
  return max_pool(x, (3, 3), (2, 2), (padding, padding))


class Backbone(nn.Module):
  """Four stages of residual blocks behind a strided stem.

  Once the stride has reached `output_stride`, stages dilate instead: the
  convolution that would stride keeps the dilation so far, and those after it
  double it. So the dilated features, subsampled, equal the strided ones.
  """

  block: Callable[..., nn.Module]
  depths: tuple[int, int, int, int]
  width: int = 64  # Channels of the stem and of the first stage.
  # Channels of three 3x3 convolutions in place of the 7x7 one.
  deep_stem: tuple[int, ...] = ()
  average_shortcut: bool = False
  # Whether there is a level 'stem', the first convolution before its norm.
  keep_stem: bool = False
  ceil_pool: bool = False  # See `pool`.
  pad_pool: bool = True  # See `pool`.
  # Whether the stem ends with max pooling; else the first stage strides.
  stem_pool: bool = True
  # Whether a stem of one convolution, and the pooling, pad as TensorFlow does.
  tensorflow_padding: bool = False
  epsilon: float = 1e-5  # Added by norms to the variance.
  momentum: float = 0.9  # Of the running statistics of norms.
  # How dilated convolutions are smoothed, see `layers.smoothed_conv`.
  smoothing: str = ''
  # Levels whose 3x3 convolutions are deformable, such as ('c5',), and whether
  # these are modulated, see `layers.deform_conv`.
  deformable: tuple[str, ...] = ()
  modulated: bool = False
  output_stride: int = 32
  stages: int = 4  # With 3, 'c4' is the last level; see `last_stage`.
  # Unit rates of the blocks of the last stage, multiplied with its dilation:
  # DeepLabv3, section 3.2.1. Empty: the rule above. A rate of 0 leaves a block
  # the dilation of the stage before, as EMANet's author has the first.
  multi_grid: tuple[int, ...] = ()
  # Whether the first convolution of a dilated stage has the stage's dilation
  # too, as in the authors' code of PSPNet.
  dilate_first: bool = False
  # Dilations of the four stages, whatever their strides, in place of the rule
  # above; as there, the first convolution of a stage has that of the stage
  # before. mmsegmentation's FastFCN dilates at output stride 32: (1, 1, 2, 4).
  # A stage may have a tuple, the dilations of its blocks, which begins again
  # where there are more blocks: (1, 1, (1, 2, 5, 9), (5, 9, 17)) is the hybrid
  # dilated convolution of https://arxiv.org/abs/1702.08502.
  dilations: tuple[int | tuple[int, ...], ...] = ()
  # Whether norms multiply by the absolute value of their scale.
  absolute_scale: bool = False
  # Whether `ChannelAttention` ends each block, as in the code of ACFNet.
  channel_attention: bool = False
  # Changes features on their way: `after('c3', x)` returns what the next stage
  # reads instead of 'c3', and `after('c3_first', x)` what the blocks after the
  # first one of that stage read. ICNet halves sizes there.
  after: Callable[[str, jax.Array], jax.Array] | None = None
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.

  @property
  def levels(self):
    stem = ('stem',) if self.keep_stem else ()
    return (*stem, 'c1', 'c2', 'c3', 'c4', 'c5')

  @nn.compact
  def __call__(self, image, train=False):
    if self.output_stride not in (8, 16, 32):
      raise ValueError(
          f'output_stride={self.output_stride}: a ResNet has 8, 16 or 32.'
      )
    if self.multi_grid and len(self.multi_grid) != self.depths[-1]:
      raise ValueError(
          f'multi_grid={self.multi_grid} wants one rate for each of the'
          f' {self.depths[-1]} blocks of the last stage.'
      )
    if self.multi_grid and isinstance((*self.dilations, *4 * [0])[3], tuple):
      raise ValueError(
          f'multi_grid={self.multi_grid} and dilations={self.dilations} both'
          ' name the dilations of the blocks of the last stage: leave one out.'
      )
    if len(self.dilations) not in (0, 4):
      raise ValueError(
          f'dilations={self.dilations}: give four, one for each stage, or none.'
      )
    if self.keep_stem and self.deep_stem:
      raise ValueError(
          'keep_stem=True is for a stem of one convolution, and this variant'
          f' has {len(self.deep_stem)}: leave it out.'
      )
    if not set(self.deformable) <= set(self.levels[1:]):
      raise ValueError(
          f'deformable={self.deformable}: the levels with blocks are'
          f' {", ".join(self.levels[1:])}.'
      )
    if self.smoothing and self.deformable:
      raise ValueError(
          f'smoothing={self.smoothing!r} and deformable={self.deformable} are'
          ' two ways to read the same pixels: leave one out.'
      )
    norm, _ = block_norms(self.epsilon, self.absolute_scale, self.momentum)
    feats = {}
    if self.deep_stem:
      x = image
      for i, features in enumerate(self.deep_stem, 1):
        x = ConvNormAct(
            features, stride=2 if i == 1 else 1, norm=norm, name=f'stem{i}'
        )(x, train)
    else:
      x = pad_as_tensorflow(image, 7) if self.tensorflow_padding else image
      padding = 0 if self.tensorflow_padding else None
      raw, x = Stem(self.width, padding, norm, name='stem')(x, train)
      if self.keep_stem:
        feats['stem'] = raw
    feats['c1'] = x
    if self.stem_pool and self.tensorflow_padding:
      x = pool(pad_as_tensorflow(x, 3, -jnp.inf), pad=False)
    elif self.stem_pool:
      x = pool(x, self.ceil_pool, self.pad_pool)
    total, dilation = 4 if self.stem_pool else 2, 1
    for level, depth in enumerate(self.depths[: self.stages], 2):
      stride, before = 1 if total == 2**level else 2, dilation
      if total * stride > self.output_stride:  # Dilate instead of striding.
        first, stride, dilation = dilation, 1, dilation * stride
      else:
        first, total = dilation, total * stride
      if self.dilations:
        dilation = self.dilations[level - 2]
      rates = self.multi_grid if level == 5 else ()
      if isinstance(dilation, tuple):
        blocks = tuple(itertools.islice(itertools.cycle(dilation), depth))
      else:
        blocks = tuple(dilation * rate or before for rate in rates or (1,))
        blocks *= 1 if rates else depth
      if rates or self.dilate_first or isinstance(dilation, tuple):
        first = 0
      dilation = blocks[-1]
      layer = smoothed(self.smoothing)
      if f'c{level}' in self.deformable:
        layer = modulated if self.modulated else deformable
      for i, rate in enumerate(blocks):
        x = self.block(
            self.width * 2 ** (level - 2),
            stride=stride if i == 0 else 1,
            dilation=rate,
            first_dilation=first if i == 0 else 0,
            average=self.average_shortcut,
            absolute_scale=self.absolute_scale,
            channel_attention=self.channel_attention,
            epsilon=self.epsilon,
            momentum=self.momentum,
            layer=layer,
            name=f'stage{level - 1}_{i}',
        )(x, train)
        if i == 0 and self.after:
          x = self.after(f'c{level}_first', x)
      feats[f'c{level}'] = x
      if self.after:
        x = self.after(f'c{level}', x)
    if self.num_classes:
      feats['class_logits'] = nn.Dense(self.num_classes, name='classifier')(
          x.mean((1, 2))
      )
    return feats


class Stage(nn.Module):
  """Applies the residual blocks of one stage."""

  block: Callable[..., nn.Module]
  depth: int
  width: int
  number: int = 4  # Of the stage, for the names of its blocks.

  @nn.compact
  def __call__(self, x, train):
    for i in range(self.depth):
      x = self.block(
          self.width,
          stride=2 if i == 0 else 1,
          name=f'stage{self.number}_{i}',
      )(x, train)
    return x


def last_stage(backbone: str, name: str) -> Stage:
  """Returns the stage behind 'c4' of a ResNet as a module of its own.

  The features of boxes go through it in detectors without a pyramid; the
  backbone then has `stages=3`.

  Args:
    backbone: 'resnet/variant', with or without options.
    name: of the module.
  """
  variant, options = specs.split(backbone, 'backbone')
  family, _, key = variant.partition('/')
  if family != 'resnet' or key not in VARIANTS:
    raise ValueError(
        f'{backbone!r} is none of the ResNets, whose last stage can be a module'
        f' of its own: {", ".join(VARIANTS)}.'
    )
  fields = {**VARIANTS[key], **options}
  block = functools.partial(
      fields['block'],
      average=fields.get('average_shortcut', False),
      epsilon=fields.get('epsilon', 1e-5),
  )
  return Stage(
      block, fields['depths'][3], 8 * fields.get('width', 64), name=name
  )


def next_block(groups, width):
  """Returns ResNeXt's bottleneck: groups of `width` channels in stage 1."""
  return functools.partial(
      Bottleneck, groups=groups, widen=groups * width // 64
  )


PLAIN = {
    '18': dict(block=BasicBlock, depths=(2, 2, 2, 2)),
    '34': dict(block=BasicBlock, depths=(3, 4, 6, 3)),
    '50': dict(block=Bottleneck, depths=(3, 4, 6, 3)),
    '101': dict(block=Bottleneck, depths=(3, 4, 23, 3)),
    '152': dict(block=Bottleneck, depths=(3, 8, 36, 3)),
}
STYLES = {
    'v1c': dict(deep_stem=(32, 32, 64)),
    'v1d': dict(deep_stem=(32, 32, 64), average_shortcut=True),
    'v1s': dict(deep_stem=(64, 64, 128)),
}
WIDE = functools.partial(Bottleneck, widen=2)
SFNET = dict(dilations=(1, 1, 2, 4), dilate_first=True)
VARIANTS = {
    'tiny': dict(block=BasicBlock, depths=(1, 1, 1, 1), width=16),
    **PLAIN,
    **{
        f'{depth}_{style}': {**fields, **STYLES[style]}
        for style in STYLES
        for depth, fields in PLAIN.items()
    },
    '101_caffe': dict(
        block=functools.partial(Bottleneck, stride_first=True),
        depths=(3, 4, 23, 3),
        ceil_pool=True,
        dilate_first=True,
    ),
    '50_caffe': dict(
        block=functools.partial(Bottleneck, stride_first=True),
        depths=(3, 4, 6, 3),
        ceil_pool=True,
        dilate_first=True,
    ),
    '50_icnet': dict(
        block=functools.partial(Bottleneck, stride_first=True),
        depths=(3, 4, 6, 3),
        width=32,
        deep_stem=(32, 32, 64),
        ceil_pool=True,
        dilate_first=True,
    ),
    '101_tf': dict(
        block=functools.partial(Bottleneck, stride_first=True),
        depths=(3, 4, 23, 3),
        tensorflow_padding=True,
        dilate_first=True,
        epsilon=1e-3,
    ),
    '101_msra': dict(
        block=functools.partial(Bottleneck, stride_first=True),
        depths=(3, 4, 23, 3),
        ceil_pool=True,
        pad_pool=False,
        dilate_first=True,
    ),
    '101_duc': dict(
        block=functools.partial(Bottleneck, stride_first=True),
        depths=(3, 4, 23, 3),
        **STYLES['v1s'],
        pad_pool=False,
        epsilon=1e-6,
    ),
    '18_sfnet': {
        **PLAIN['18'],
        **STYLES['v1s'],
        **SFNET,
        'block': functools.partial(BasicBlock, dilate_second=True),
    },
    **{
        f'{depth}_sfnet': {**PLAIN[depth], **STYLES['v1s'], **SFNET}
        for depth in ('50', '101')
    },
    '50_beta': dict(
        block=Bottleneck,
        depths=(3, 4, 6, 3),
        **STYLES['v1s'],
        stem_pool=False,
        epsilon=1e-3,
        momentum=0.99,
    ),
    'next50_32x4d': {**PLAIN['50'], 'block': next_block(32, 4)},
    'next101_32x4d': {**PLAIN['101'], 'block': next_block(32, 4)},
    'next101_32x8d': {**PLAIN['101'], 'block': next_block(32, 8)},
    'wide50_2': {**PLAIN['50'], 'block': WIDE},
    'wide101_2': {**PLAIN['101'], 'block': WIDE},
}
