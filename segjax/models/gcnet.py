"""GCNet, https://arxiv.org/abs/1904.11492.

Global context: the queries of a non-local block attend almost alike, so that
one map of attention serves them all. What it gathers passes a bottleneck as in
SENet, and is added to every position. As mmsegmentation 1.2.2 builds it, with
one block in the head, and checked against it; the paper's blocks for detection
are within the backbone.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points


class GlobalContext(nn.Module):
  """Adds a transformed weighted mean over all positions to each of them.

  The last layer of the transformation begins as zeros.
  """

  hidden: int  # Channels of the bottleneck.

  @nn.compact
  def __call__(self, x):
    features = x.shape[-1]
    scores = conv(1, 1, bias=True, name='attention')(x)
    weights = jax.nn.softmax(scores.astype(jnp.float32), (1, 2))
    y = jnp.einsum(
        'bhwk,bhwc->bc',
        weights.astype(x.dtype),
        x,
        preferred_element_type=jnp.float32,
    ).astype(x.dtype)
    y = nn.Dense(self.hidden, name='squeeze')(y)
    y = nn.relu(nn.LayerNorm(epsilon=1e-5, name='norm')(y))
    y = nn.Dense(features, kernel_init=nn.initializers.zeros, name='expand')(y)
    return x + y[:, None, None]


class Model(nn.Module):
  """Dilated backbone, global context between two 3x3 convolutions."""

  num_classes: int
  backbone: str = 'resnet/50_v1c(output_stride=8)'
  features: int = 512
  reduction: int = 4  # Of the channels within the context's transformation.
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
    x = GlobalContext(self.features // self.reduction, name='context')(x)
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
