"""DANet, https://arxiv.org/abs/1809.02983.

Two attentions side by side: positions gather from all positions, channels from
all channels, and the sum of both is classified. Each has a classifier of its
own in training. As mmsegmentation 1.2.2 builds it, and checked against it; the
authors' own (junfu1115/DANet) has `align_corners=True, aux_level=''` on
'resnet/101(output_stride=8, multi_grid=(1, 2, 4))'.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.attention import ResidualAttention
from segjax.layers.attention import attend_everywhere
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import classifier
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points
from segjax.ops.resize import resize


class ChannelAttention(nn.Module):
  """Adds to each channel what it gathers from other channels.

  Channels are compared over all positions, without any projection. As in the
  authors' code, the weights are a softmax of the largest product minus the
  product: channels that are least alike weigh most. `gamma` starts at 0.
  """

  @nn.compact
  def __call__(self, x):
    positions = x.reshape(len(x), -1, x.shape[-1])
    # Sums over all positions are large, and few weights are not 0: coarse
    # products would choose other channels.
    products = jnp.einsum(
        'bnc,bnd->bcd',
        positions,
        positions,
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )
    # A softmax is the same whatever is added to all of its inputs.
    weights = jax.nn.softmax(-products).astype(x.dtype)
    y = jnp.einsum(
        'bcd,bnd->bnc', weights, positions, preferred_element_type=jnp.float32
    )
    gamma = self.param('gamma', nn.initializers.zeros, ())
    y = y.astype(x.dtype).reshape(x.shape)
    return gamma.astype(x.dtype) * y + x


class Branch(nn.Module):
  """Applies an attention between two 3x3 convolutions."""

  features: int
  key_features: int = 0  # Of attention to positions; 0: it is to channels.

  @nn.compact
  def __call__(self, x, train):
    if self.key_features:
      attention = ResidualAttention(
          self.key_features, attend_everywhere, name='attention'
      )
    else:
      attention = ChannelAttention(name='attention')
    x = ConvNormAct(self.features, name='reduce')(x, train)
    return ConvNormAct(self.features, name='refine')(attention(x), train)


class Model(nn.Module):
  """Dilated backbone, attention to positions and to channels, classifiers.

  'position' and 'channel' of the auxiliary logits are those of one attention.
  """

  num_classes: int
  backbone: str = 'resnet/50_v1c(output_stride=8)'
  features: int = 512
  key_features: int = 64
  align_corners: bool = False
  dropout: float = 0.1
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        ('c5', self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    branches = {
        'position': Branch(self.features, self.key_features, name='position'),
        'channel': Branch(self.features, name='channel'),
    }
    branches = {
        name: branch(feats['c5'], train) for name, branch in branches.items()
    }
    size = image.shape[1:3]
    outputs = segmentation_outputs(
        sum(branches.values()),
        self.num_classes,
        size,
        train,
        dropout=self.dropout,
        feats=feats,
        aux_level=self.aux_level,
        align_corners=self.align_corners,
        points=self.points,
    )
    for name, x in branches.items():
      x = nn.Dropout(self.dropout)(x, deterministic=not train)
      logits = classifier(self.num_classes, f'{name}_classifier')(x)
      outputs['aux'][name] = resize(
          logits, size, align_corners=self.align_corners
      )
    return outputs


# That of the task, and of a point head if there is one.
loss = points.loss
