"""ACFNet, https://arxiv.org/abs/1909.09408.

Coarse scores give each class a centre among the features of the image, and each
pixel gets the mixture of centres that its own coarse probabilities ask for. The
class centres and the class attention are those of the paper's equations; all
around them is as in zrl4836/ACFNet, a port by others than the authors, and so
are 512 channels of the class features. The port itself has `raw_scores=True` on
a backbone with `channel_attention=True`: it takes the softmax of products of
scores and features over channels instead, with the sign reversed. Checked
against the port, and against its network with the paper's equations.
"""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.aspp import ASPP
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.dropout import channel_dropout
from segjax.layers.head import FCNHead
from segjax.layers.head import auxiliary
from segjax.layers.head import classifier
from segjax.layers.norm import activated_batch_norm
from segjax.ops.reduce import ratio
from segjax.ops.resize import resize
from segjax.ops.targets import class_logits

ConvABN = functools.partial(ConvNormAct, norm=activated_batch_norm)
# Sums over pixels and classes are float32 whatever the type of the features.
_einsum = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def class_centers(feats: jax.Array, probabilities: jax.Array) -> jax.Array:
  """Averages features over an image, weighted by the probability of a class.

  Args:
    feats: [B, H, W, C].
    probabilities: [B, H, W, K].

  Returns:
    [B, K, C] float32; zeros for a class that is nowhere probable.
  """
  total = _einsum('bhwk,bhwc->bkc', probabilities, feats)
  mass = probabilities.astype(jnp.float32).sum((1, 2))[..., None]
  return ratio(total, mass)


class CoarseHead(nn.Module):
  """Scores classes a first time, by a 1x1 and a 3x3 convolution."""

  num_classes: int
  features: int
  dropout: tuple[float, float]  # Behind each of the two convolutions.

  @nn.compact
  def __call__(self, x, train):
    x = ConvABN(self.features, kernel=1, name='reduce')(x, train)
    x = channel_dropout(self.dropout[0], train)(x)
    x = ConvABN(self.features, bias=True, name='conv')(x, train)
    x = channel_dropout(self.dropout[1], train)(x)
    return classifier(self.num_classes)(x)


class ClassFeature(nn.Module):
  """Gives each pixel the features of the classes that it may be of.

  Attributes:
    features: channels of the class centres, and of the result.
    dropout: share of the channels that the centres are computed without.
    raw_scores: see `Model`.
  """

  features: int
  dropout: float
  raw_scores: bool

  @nn.compact
  def __call__(self, x, coarse, train):
    """Returns [B, H, W, features].

    Args:
      x: [B, H, W, C].
      coarse: scores, [B, H, W, K].
      train: whether norms take their statistics from the batch.
    """
    x = ConvABN(self.features, kernel=1, name='reduce')(x, train)
    x = channel_dropout(self.dropout, train)(x)
    if self.raw_scores:
      products = _einsum('bhwk,bhwc->bkc', coarse, x)
      shares, centers = coarse, jax.nn.softmax(-products)
    else:
      shares = jax.nn.softmax(class_logits(coarse)).astype(x.dtype)
      centers = class_centers(x, shares)
    y = _einsum('bhwk,bkc->bhwc', shares, centers.astype(x.dtype))
    y = y.astype(x.dtype)
    if self.raw_scores:
      return conv(self.features, 1, bias=True, name='project')(y)
    return ConvABN(self.features, kernel=1, name='project')(y, train)


class Model(nn.Module):
  """Dilated backbone, ASPP, class features from coarse scores, classifier.

  'aux' has the coarse scores, 'coarse', and those of the auxiliary head.
  """

  num_classes: int
  backbone: str = (
      'resnet/101_v1s(output_stride=8, dilate_first=True, ceil_pool=True,'
      ' absolute_scale=True)'
  )
  rates: tuple[int, ...] = (12, 24, 36)
  features: int = 512  # Of each branch of ASPP, and of class features.
  fuse_features: int = 1024
  # Computes with the scores themselves, as the port does, in the place of
  # probabilities and weighted means.
  raw_scores: bool = False
  align_corners: bool = True
  dropout: float = 0.1  # Of channels, before each classifier.
  coarse_dropout: float = 0.5  # Between the convolutions of the coarse head.
  center_dropout: float = 0.2  # Before class centres are computed.
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.

  @nn.compact
  def __call__(self, image, *, train=False):
    size = image.shape[1:3]
    feats = backbones.build(
        self.backbone, ('c5', self.aux_level), name='backbone'
    )(image, train)
    x = ASPP(
        self.features,
        self.rates,
        project_kernel=0,
        norm=activated_batch_norm,
        image_norm=activated_batch_norm,
        name='aspp',
    )(feats['c5'], train)
    coarse = CoarseHead(
        self.num_classes,
        self.features,
        (self.coarse_dropout, self.dropout),
        name='coarse',
    )(x, train)
    y = ClassFeature(
        self.features, self.center_dropout, self.raw_scores, name='context'
    )(x, coarse, train)
    x = ConvABN(self.fuse_features, act=nn.leaky_relu, name='fuse')(
        jnp.concatenate([y, x], -1), train
    )
    x = channel_dropout(self.dropout, train)(x)
    logits = classifier(self.num_classes)(x)
    head = FCNHead(self.num_classes, self.dropout, conv=ConvABN, name='aux')
    enlarge = functools.partial(
        resize, size=size, align_corners=self.align_corners
    )
    return {
        'logits': enlarge(logits),
        'aux': {
            'coarse': enlarge(coarse),
            **auxiliary(
                head,
                feats,
                self.aux_level,
                size,
                train,
                align_corners=self.align_corners,
            ),
        },
    }
