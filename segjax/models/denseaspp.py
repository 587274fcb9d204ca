"""DenseASPP, https://openaccess.thecvf.com/content_cvpr_2018/html/Yang_DenseASPP_for_Semantic_CVPR_2018_paper.html.

Atrous convolutions in a chain: each sees the features of the backbone and the
outputs of all convolutions before it, so a few rates look at many scales. As
the authors' code builds it (DeepMotionAIResearch/DenseASPP), with the defaults
of its DenseASPP121; their DenseASPP161 has `bottleneck=512, growth=128` on
'densenet/161(output_stride=8, halve=True)'. Checked against it.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.dropout import channel_dropout
from segjax.layers.head import classifier
from segjax.layers.norm import BatchNorm
from segjax.ops.resize import resize

# He et al. 2015 with fan-in, as the authors initialise.
he_uniform = nn.initializers.he_uniform()


class AtrousBranch(nn.Module):
  """Reduces features by a 1x1 convolution and applies an atrous 3x3 one.

  Attributes:
    bottleneck: channels between the two convolutions.
    growth: channels of the output.
    rate: step between the weights of the atrous convolution, in pixels.
    dropout: share of the channels of an image that are zeroed.
    momentum: see `BatchNorm`.
    norm_first: whether a norm and ReLU come before the convolutions.
  """

  bottleneck: int
  growth: int
  rate: int
  dropout: float
  momentum: float
  norm_first: bool = True

  @nn.compact
  def __call__(self, x, train):
    norm = functools.partial(BatchNorm, momentum=self.momentum)
    if self.norm_first:
      x = nn.relu(norm(train, name='norm')(x))
    x = ConvNormAct(
        self.bottleneck,
        kernel=1,
        bias=True,
        norm=norm,
        init=he_uniform,
        name='reduce',
    )(x, train)
    x = conv(
        self.growth,
        dilation=self.rate,
        bias=True,
        init=he_uniform,
        name='atrous',
    )(x)
    return channel_dropout(self.dropout, train)(x)


class Model(nn.Module):
  """Dilated backbone, densely connected atrous branches, upsampling."""

  num_classes: int
  backbone: str = 'densenet/121(output_stride=8, halve=True)'
  rates: tuple[int, ...] = (3, 6, 12, 18, 24)
  bottleneck: int = 128  # Channels before each atrous convolution.
  growth: int = 64  # Channels that each atrous convolution adds.
  dropout: float = 0.1  # Of whole channels, after each branch and at the end.
  momentum: float = 0.9997  # Of the running statistics of the branches.
  align_corners: bool = True  # As PyTorch resized when the authors trained.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(self.backbone, ('c5',), name='backbone')(
        image, train
    )
    x = nn.relu(feats['c5'])
    for i, rate in enumerate(self.rates):
      y = AtrousBranch(
          self.bottleneck,
          self.growth,
          rate,
          self.dropout,
          self.momentum,
          norm_first=i > 0,
          name=f'branch{i}',
      )(x, train)
      x = jnp.concatenate([y, x], -1)  # In the order of the authors' weights.
    x = channel_dropout(self.dropout, train)(x)
    logits = classifier(self.num_classes)(x)
    logits = resize(logits, image.shape[1:3], align_corners=self.align_corners)
    return {'logits': logits, 'aux': {}}
