"""STDC-Seg, https://arxiv.org/abs/2104.13188.

BiSeNet without its spatial path: a head that learns outlines in training, and
is not needed afterwards, has the backbone keep details. As mmsegmentation 1.2.2
builds it, against which it was checked; the authors' detail head has one
channel, `detail_channels=1`. STDC2 is `backbone='stdc/2'`.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.context_path import ContextPath
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import FCNHead
from segjax.layers.head import auxiliary_heads
from segjax.layers.head import segmentation_outputs
from segjax.ops.detail import detail_loss
from segjax.ops.resize import resize


class FeatureFusion(nn.Module):
  """Joins details and context, and adds the result times a gate to itself."""

  features: int

  @nn.compact
  def __call__(self, detail, context, train):
    x = jnp.concatenate([detail, context], -1)
    x = ConvNormAct(self.features, kernel=1, name='conv')(x, train)
    gate = conv(self.features // 4, 1, name='gate1')(
        x.mean((1, 2), keepdims=True)
    )
    gate = conv(self.features, 1, name='gate2')(nn.relu(gate))
    return x + x * nn.sigmoid(gate)


class Model(nn.Module):
  """Backbone with a context path, fused at stride 8, and a detail head.

  'detail' of the outputs, [B, H, W, `detail_channels`], has scores of outlines.
  """

  num_classes: int
  backbone: str = 'stdc/1'
  features: int = 128  # Of the context path; twice as many are fused.
  dropout: float = 0.1
  # Channels of the convolutions of auxiliary heads and detail head; 0: there
  # are none.
  aux_features: int = 64
  detail_channels: int = 2  # Of the scores of outlines; see `detail_loss`.

  @nn.compact
  def __call__(self, image, *, train=False):
    size = image.shape[1:3]
    feats = backbones.build(self.backbone, ('c3', 'c4', 'c5'), name='backbone')(
        image, train
    )
    context = ContextPath(self.features, name='context')(feats, train)
    x = FeatureFusion(2 * self.features, name='fusion')(
        feats['c3'], context['c3'], train
    )
    x = ConvNormAct(2 * self.features, name='conv')(x, train)
    outputs = segmentation_outputs(
        x,
        self.num_classes,
        size,
        train,
        dropout=self.dropout,
        align_corners=True,
    )
    outputs['aux'] = auxiliary_heads(
        context,
        dict.fromkeys(context, self.aux_features),
        self.num_classes,
        size,
        train,
        dropout=self.dropout,
    )
    if self.aux_features:
      detail = FCNHead(
          self.detail_channels, self.dropout, self.aux_features, name='detail'
      )(feats['c3'], train)
      outputs['detail'] = resize(detail, size)
    return outputs


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    detail_weight: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Adds the detail loss: where the outlines of the label map are.

  Args:
    out: outputs of the model.
    batch: what they are outputs for.
    rng: key of the step.
    base: loss of the task.
    detail_weight: factor of the added terms.
  """
  total, parts = base(out, batch, rng)
  if 'detail' not in out:
    return total, parts
  entropy, dice = detail_loss(out['detail'], batch['label'])
  added = {'detail_cross_entropy': entropy, 'detail_dice': dice}
  return total + detail_weight * (entropy + dice), {**parts, **added}
