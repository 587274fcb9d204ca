"""Heads that turn features into scores per class."""

from collections.abc import Callable
from collections.abc import Mapping
import functools
from typing import Any

from flax import linen as nn
import jax

from segjax.layers import norm as norms
from segjax.layers import point_head
from segjax.layers.conv import Conv
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import torch_default
from segjax.ops.resize import resize


def classifier(
    num_classes: int,
    name: str = 'classifier',
    kernel: int = 1,
    init: Callable[..., Any] = torch_default,
) -> nn.Module:
  """Returns a convolution to class scores.

  Args:
    num_classes: number of scores.
    name: name of the layer's parameters in its parent.
    kernel: side of the kernel.
    init: initialiser of the weights. A normal distribution with a standard
      deviation of 0.01, that of mmsegmentation's heads, is for hundreds of
      features: a head of 8 or 16 tells objects from the background then, and
      hardly learns which they are.
  """
  return Conv(num_classes, (kernel, kernel), kernel_init=init, name=name)


def xavier_classifier(num_classes: int, kernel: int = 3) -> nn.Module:
  """Returns the convolution to class scores that ends a decoder.

  Its weights begin by the rule of Glorot and Bengio, 2010, as in
  segmentation_models_pytorch; a parent knows it as 'classifier'.

  Args:
    num_classes: number of scores.
    kernel: side of the kernel.
  """
  return Conv(
      num_classes,
      (kernel, kernel),
      kernel_init=nn.initializers.xavier_uniform(),
      name='classifier',
  )


class FCNHead(nn.Module):
  """Applies one or more 3x3 convolutions, dropout and a classifier.

  The auxiliary head of PSPNet, https://arxiv.org/abs/1612.01105, section 3.3,
  as torchvision and mmsegmentation attach it to stage 4 of a ResNet.
  """

  num_classes: int
  dropout: float = 0.1
  features: int = 0  # Channels of the convolution; 0: a quarter of the input's.
  conv: Callable[..., nn.Module] = ConvNormAct  # With norm and activation.
  # Axes along which dropout is the same; (1, 2) drops whole channels.
  dropout_dims: tuple[int, ...] = ()
  depth: int = 1  # Number of convolutions: 'conv', 'conv2', 'conv3', ...

  @nn.compact
  def __call__(self, x, train):
    features = self.features or x.shape[-1] // 4
    for i in range(1, self.depth + 1):
      x = self.conv(features, name=f'conv{i}' if i > 1 else 'conv')(x, train)
    x = nn.Dropout(self.dropout, self.dropout_dims)(x, deterministic=not train)
    return classifier(self.num_classes)(x)


def segmentation_outputs(
    x: jax.Array,
    num_classes: int,
    size: tuple[int, int],
    train: bool,
    *,
    dropout: float = 0.0,
    dropout_dims: tuple[int, ...] = (),
    kernel: int = 1,
    feats: Mapping[str, jax.Array] | None = None,
    aux_level: str = '',
    aux_features: int = 0,
    align_corners: bool = False,
    points: str = '',
) -> dict[str, Any]:
  """Computes logits and auxiliary logits from the last features of a system.

  Applies dropout and a classifier, an `FCNHead` with the same dropout rate on
  one level of the backbone, and bilinear upsampling to the size of the image.
  Call it in the `__call__` of a model: its parameters are named 'classifier'
  and 'aux' there.

  Args:
    x: [B, h, w, C], the last features.
    num_classes: number of classes K.
    size: (height, width) of the logits.
    train: whether dropout is on, and norms take statistics from the batch.
    dropout: dropout rate.
    dropout_dims: axes along which the first dropout is the same; (1, 2) drops
      whole channels.
    kernel: side of the classifier's kernel.
    feats: {level: features [B, h, w, C]} of the backbone.
    aux_level: level of `feats` that the auxiliary head reads; '' leaves the
      head out.
    aux_features: see `FCNHead`.
    align_corners: whether upsampling aligns the centres of corner pixels.
    points: a point head that scores uncertain pixels anew, see
      `layers.point_head`; '' leaves it out. `feats` has its level.

  Returns:
    {'logits': [B, height, width, K], 'aux': {aux_level: [B, height, width,
    K]}}, and in training the `points` and `point_logits` of a point head.

  Raises:
    ValueError: the point head has no such option, or corners are aligned.
  """
  x = nn.Dropout(dropout, dropout_dims)(x, deterministic=not train)
  logits = classifier(num_classes, kernel=kernel)(x)
  head = FCNHead(num_classes, dropout, aux_features, name='aux')
  aux = auxiliary(
      head, feats, aux_level, size, train, align_corners=align_corners
  )
  if not points:
    logits = resize(logits, size, align_corners=align_corners)
    return {'logits': logits, 'aux': aux}
  if align_corners:
    raise ValueError(
        f'points={points!r}: a point head enlarges logits as images are resized'
        ' and cannot align their corners: set align_corners=False.'
    )
  return {
      'aux': aux,
      **point_head.outputs(points, feats, logits, size, train),
  }


def auxiliary(
    head: Callable[..., jax.Array],
    feats: Mapping[str, jax.Array] | None,
    level: str,
    size: tuple[int, int],
    train: bool,
    *,
    align_corners: bool = False,
) -> dict[str, jax.Array]:
  """Returns the 'aux' outputs of a system with at most one auxiliary head.

  Args:
    head: an `FCNHead`.
    feats: {level: features [B, h, w, C]} of the backbone.
    level: level that the head reads; '' leaves the head out.
    size: (height, width) of the logits.
    train: whether norms take their statistics from the batch.
    align_corners: whether upsampling aligns the centres of corner pixels.

  Returns:
    {level: logits [B, height, width, K]}, or {} without a head.
  """
  if not level:
    return {}
  logits = head(feats[level], train)
  return {level: resize(logits, size, align_corners=align_corners)}


def auxiliary_heads(
    feats: Mapping[str, jax.Array],
    features: Mapping[str, int],
    num_classes: int,
    size: tuple[int, int],
    train: bool,
    *,
    dropout: float = 0.0,
    depth: int = 1,
    norm: Callable[..., nn.Module] = norms.BatchNorm,
) -> dict[str, jax.Array]:
  """Returns the 'aux' outputs of a system with several auxiliary heads.

  Call it in the `__call__` of a model: the parameters of the head on a level
  are named 'aux_LEVEL' there.

  Args:
    feats: {level: features [B, h, w, C]}.
    features: {level: channels of the convolutions of its head}; with 0 there is
      no head on that level.
    num_classes: number of classes K.
    size: (height, width) of the logits.
    train: whether dropout is on, and norms take statistics from the batch.
    dropout: dropout rate.
    depth: see `FCNHead`.
    norm: of the convolutions.

  Returns:
    {level: logits [B, height, width, K]}.
  """
  outputs, conv = {}, functools.partial(ConvNormAct, norm=norm)
  for level, channels in features.items():
    if channels:
      head = FCNHead(
          num_classes,
          dropout,
          channels,
          conv,
          depth=depth,
          name=f'aux_{level}',
      )
      outputs[level] = resize(head(feats[level], train), size)
  return outputs
