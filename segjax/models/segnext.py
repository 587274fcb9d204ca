"""SegNeXt, https://arxiv.org/abs/2209.08575.

A backbone of convolutional attention (MSCAN), and for the context of the whole
image the head of Hamburger, https://arxiv.org/abs/2109.04553: it replaces
features by sums of a few non-negative bases, which it finds anew in each image.
As mmsegmentation 1.2.2 builds it, against which it was checked.

That code draws the bases that the search begins with anew in every call. Here
training draws them too, and evaluation always begins with the same, so that a
score can be repeated; `bases` sets them.
"""

from collections.abc import Callable
import functools

from flax import linen as nn
import jax

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import segmentation_outputs
from segjax.layers.levels import join_levels
from segjax.layers.norm import group_norm
from segjax.layers.point_head import level_of
from segjax.ops import points
from segjax.ops.factorization import factorize
from segjax.ops.factorization import random_bases


class Factorization(nn.Module):
  """Replaces features by sums of few bases, found anew in each image."""

  rank: int  # Number of bases.
  steps: int

  @nn.compact
  def __call__(self, x, bases, train):
    """Returns [B, H, W, C].

    Args:
      x: [B, H, W, C], not negative.
      bases: [B, C, R] to begin with, or None to draw them.
      train: whether the draw is a new one.
    """
    features = x.reshape(len(x), -1, x.shape[-1])
    if bases is None:
      key = self.make_rng('sample') if train else jax.random.key(0)
      bases = random_bases(key, len(x) if train else 1, x.shape[-1], self.rank)
    return factorize(features, bases, steps=self.steps).reshape(x.shape)


class Hamburger(nn.Module):
  """Adds a factorisation of features between two 1x1 convolutions to them."""

  rank: int
  steps: int
  norm: Callable[..., nn.Module]

  @nn.compact
  def __call__(self, x, bases, train):
    features = x.shape[-1]
    y = nn.relu(conv(features, 1, bias=True, name='input')(x))
    y = Factorization(self.rank, self.steps, name='factorization')(
        y, bases, train
    )
    y = ConvNormAct(
        features, kernel=1, norm=self.norm, act=None, name='output'
    )(y, train)
    return nn.relu(x + y)


class Model(nn.Module):
  """Backbone, and at stride 8 the joined levels, Hamburger and a classifier."""

  num_classes: int
  backbone: str = 'mscan/tiny'
  features: int = 256
  rank: int = 16  # Number of bases.
  train_steps: int = 6  # Updates of the bases in training.
  eval_steps: int = 7
  groups: int = 32  # Of the group norms.
  dropout: float = 0.1
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False, bases=None):
    """Returns the outputs.

    Args:
      image: [B, H, W, 3].
      train: see above.
      bases: [B, features, rank] that the factorisation begins with, not
        negative; None draws them.
    """
    levels = ('c3', 'c4', 'c5')
    feats = backbones.build(
        self.backbone, (*levels, level_of(self.points)), name='backbone'
    )(image, train)
    norm = functools.partial(group_norm, groups=self.groups)
    layer = functools.partial(ConvNormAct, self.features, kernel=1, norm=norm)
    x = layer(name='squeeze')(join_levels(feats, levels), train)
    steps = self.train_steps if train else self.eval_steps
    x = Hamburger(self.rank, steps, norm, name='hamburger')(x, bases, train)
    x = layer(name='align')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        feats=feats,
        points=self.points,
    )


# That of the task, and of a point head if there is one.
loss = points.loss
