"""Heads that turn features into scores per class."""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from flax import linen as nn
import jax

from segjax.layers.conv import Conv
from segjax.layers.conv import ConvNormAct
from segjax.ops.resize import resize


def classifier(
    num_classes: int, name: str = 'classifier', std: float = 0.01
) -> nn.Module:
  """Returns a 1x1 convolution to class scores.

  Args:
    num_classes: number of scores.
    name: name of the layer's parameters in its parent.
    std: standard deviation of the initial weights; small ones begin with nearly
      equal probabilities.
  """
  init = nn.initializers.normal(std)
  return Conv(num_classes, (1, 1), kernel_init=init, name=name)


class FCNHead(nn.Module):
  """Applies a convolution, dropout and a classifier.

  The auxiliary head of PSPNet, https://arxiv.org/abs/1612.01105, section 3.3,
  as torchvision and mmsegmentation attach it to stage 4 of a ResNet.
  """

  num_classes: int
  dropout: float = 0.1
  features: int = 0  # Channels of the convolution; 0: a quarter of the input's.
  kernel: int = 3
  bias: bool = False  # Of the convolution, in front of its norm.

  @nn.compact
  def __call__(self, x, train):
    features = self.features or x.shape[-1] // 4
    x = ConvNormAct(features, kernel=self.kernel, bias=self.bias, name='conv')(
        x, train
    )
    x = nn.Dropout(self.dropout)(x, deterministic=not train)
    return classifier(self.num_classes)(x)


def segmentation_outputs(
    x: jax.Array,
    num_classes: int,
    size: tuple[int, int],
    train: bool,
    *,
    dropout: float = 0.0,
    feats: Mapping[str, jax.Array] | None = None,
    aux_level: str = '',
    aux_features: int = 0,
    align_corners: bool = False,
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
    feats: {level: features [B, h, w, C]} of the backbone.
    aux_level: level of `feats` that the auxiliary head reads; '' leaves the
      head out.
    aux_features: see `FCNHead`.
    align_corners: whether upsampling aligns the centres of corner pixels.

  Returns:
    {'logits': [B, height, width, K], 'aux': {aux_level: [B, height, width,
    K]}}.
  """
  x = nn.Dropout(dropout)(x, deterministic=not train)
  logits = classifier(num_classes)(x)
  head = FCNHead(num_classes, dropout, aux_features, name='aux')
  return {
      'logits': resize(logits, size, align_corners=align_corners),
      'aux': auxiliary(
          head, feats, aux_level, size, train, align_corners=align_corners
      ),
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
