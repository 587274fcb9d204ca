"""DNLNet, https://arxiv.org/abs/2006.06668.

Disentangled non-local: attention splits into a pairwise term, between queries
and keys less their means, which finds what belongs to the same region, and a
unary term that is alike for all queries, which finds salient places; each has a
softmax of its own. As mmsegmentation 1.2.2 builds it, and checked against it.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import segmentation_outputs
from segjax.layers.norm import BatchNorm
from segjax.layers.point_head import level_of
from segjax.ops import points
from segjax.ops.attention import attention


class DisentangledNonLocal(nn.Module):
  """Adds what pairwise and unary attention gather from all positions.

  The scale of the last norm begins at 0, so that nothing is added at first.
  """

  features: int  # Channels of queries, keys and values.
  temperature: float  # Divides the pairwise scores before their softmax.

  @nn.compact
  def __call__(self, x, train):
    query, key, value = (
        conv(self.features, 1, bias=True, name=name)(x).reshape(
            len(x), -1, self.features
        )
        for name in ('query', 'key', 'value')
    )
    y = attention(
        _whitened(query),
        _whitened(key),
        value,
        scale=self.features**-0.5 / self.temperature,
    )
    scores = conv(1, 1, bias=True, name='unary')(x).reshape(len(x), -1)
    weights = jax.nn.softmax(scores.astype(jnp.float32)).astype(x.dtype)
    salient = jnp.einsum(
        'bk,bkc->bc', weights, value, preferred_element_type=jnp.float32
    ).astype(x.dtype)
    y = (y + salient[:, None]).reshape(*x.shape[:-1], self.features)
    y = conv(x.shape[-1], 1, name='project')(y)
    return x + BatchNorm(train, scale_init=nn.initializers.zeros, name='norm')(
        y
    )


def _whitened(x):
  """Subtracts the mean over positions from x [B, N, C].

  The low temperature makes of small differences large ones, so that the result
  is float32 whatever the type.
  """
  x = x.astype(jnp.float32)
  return x - x.mean(1, keepdims=True)


class Model(nn.Module):
  """Dilated backbone, disentangled attention between two 3x3 convolutions."""

  num_classes: int
  backbone: str = 'resnet/50_v1c(output_stride=8)'
  features: int = 512
  key_features: int = 256
  temperature: float = 0.05
  align_corners: bool = False
  dropout: float = 0.1
  aux_level: str = 'c4'  # Level of the auxiliary head; '' omits it.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        ('c5', self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    x = ConvNormAct(self.features, name='reduce')(feats['c5'], train)
    x = DisentangledNonLocal(
        self.key_features, self.temperature, name='attention'
    )(x, train)
    x = ConvNormAct(self.features, name='refine')(x, train)
    x = jnp.concatenate([feats['c5'], x], -1)
    x = ConvNormAct(self.features, name='fuse')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        feats=feats,
        aux_level=self.aux_level,
        align_corners=self.align_corners,
        points=self.points,
    )


# That of the task, and of a point head if there is one.
loss = points.loss
