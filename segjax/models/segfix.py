"""SegFix, https://arxiv.org/abs/2007.04269.

A network that sees the image alone tells which pixels are near an outline, and
which way leads inside; the refinement `segfix` of `segjax/refine` then takes
labels there from further inside, whichever system predicted them. As its
authors' code has it (openseg-group/openseg.pytorch), against which it was
checked; their published weights were trained with activated batch norms, and
have `activated=True`.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ActivatedConv
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.levels import join_levels
from segjax.ops.resize import resize

LEVELS = ('c2', 'c3', 'c4', 'c5')


class Head(nn.Module):
  """Scores of a small network that looks at single pixels."""

  channels: int
  features: int
  activated: bool

  @nn.compact
  def __call__(self, x, train):
    layer = ActivatedConv if self.activated else ConvNormAct
    x = layer(self.features, kernel=1, name='conv')(x, train)
    init = nn.initializers.normal(0.01)
    return conv(self.channels, 1, init=init, name='classifier')(x)


class Model(nn.Module):
  """HRNet with a head for outlines and one for directions, at stride 4.

  `num_classes` are the two of outlines, and the directions. 'boundary' of the
  outputs, [B, H, W], is the probability of being near an outline.
  """

  num_classes: int
  backbone: str = 'hrnet/w48(align_corners=True)'
  features: int = 256  # Of the heads.
  activated: bool = False  # Whether the heads have activated batch norms.

  @nn.compact
  def __call__(self, image, *, train=False):
    size = image.shape[1:3]
    feats = backbones.build(self.backbone, LEVELS, name='backbone')(
        image, train
    )
    x = join_levels(feats, LEVELS, align_corners=True)
    scores = [
        Head(channels, self.features, self.activated, name=name)(x, train)
        for name, channels in (
            ('outline', 2),
            ('direction', self.num_classes - 2),
        )
    ]
    # Probabilities are enlarged, and not what they are of.
    boundary = jax.nn.softmax(scores[0])[..., 1:]
    logits = jnp.concatenate(scores, -1)
    return {
        'logits': resize(logits, size, align_corners=True),
        'aux': {},
        'boundary': resize(boundary, size, align_corners=True)[..., 0],
    }
