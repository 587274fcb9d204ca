"""Heads that turn features into scores per class."""

from flax import linen as nn

from segjax.layers.conv import Conv
from segjax.layers.conv import ConvNormAct
from segjax.ops.resize import resize


def classifier(num_classes, name='classifier', std=0.01):
  """1x1 convolution to `num_classes` scores, nearly uniform at the start."""
  init = nn.initializers.normal(std)
  return Conv(num_classes, (1, 1), kernel_init=init, name=name)


class FCNHead(nn.Module):
  """3x3 convolution to a quarter of the channels, dropout, classifier.

  The auxiliary head of PSPNet, https://arxiv.org/abs/1612.01105, section 3.3,
  as torchvision and mmsegmentation attach it to stage 4 of a ResNet.
  """

  num_classes: int
  dropout: float = 0.1
  features: int = 0  # Of the convolution; 0: a quarter of its input's.

  @nn.compact
  def __call__(self, x, train):
    features = self.features or x.shape[-1] // 4
    x = ConvNormAct(features, name='conv')(x, train)
    x = nn.Dropout(self.dropout)(x, deterministic=not train)
    return classifier(self.num_classes)(x)


def segmentation_outputs(
    x,
    num_classes,
    size,
    train,
    *,
    dropout=0.0,
    feats=None,
    aux_level='',
    aux_features=0,
    align_corners=False,
):
  """Returns the outputs of a system: what most do with their last features.

  Dropout and a classifier, an auxiliary head of the same dropout, and
  interpolation to the size of the image. To be called in the `__call__` of a
  system, whose parameters 'classifier' and 'aux' then are.

  Args:
    x: [B, h, w, C], the last features.
    num_classes: channels of the logits.
    size: (height, width) of the logits.
    train: whether dropout is on, and norms take statistics from the batch.
    dropout: its rate.
    feats: {level: features [B, h, w, C]} of the backbone.
    aux_level: of `feats`, that an auxiliary head is on; '': there is none.
    aux_features: see `FCNHead`.
    align_corners: of the upsampling.
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


def auxiliary(head, feats, level, size, train, *, align_corners=False):
  """Returns what a system has under 'aux': {level: logits} of one head.

  Args:
    head: `FCNHead`.
    feats: {level: features [B, h, w, C]} of the backbone.
    level: that the head is on; '' leaves it out, and nothing is returned.
    size: (height, width) of the logits.
    train: whether norms take their statistics from the batch.
    align_corners: of the upsampling.
  """
  if not level:
    return {}
  logits = head(feats[level], train)
  return {level: resize(logits, size, align_corners=align_corners)}
