"""BiSeNet, https://arxiv.org/abs/1808.00897.

Four convolutions keep details at stride 8, a backbone with attention sees the
context, and a gate fuses the two. As mmsegmentation 1.2.2 builds it, against
which it was checked. In the paper the spatial path has three convolutions, and
the attention no 3x3 convolution before it.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.context_path import ContextPath
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import auxiliary_heads
from segjax.layers.head import segmentation_outputs


class SpatialPath(nn.Module):
  """Applies three convolutions with stride 2 and a 1x1 convolution."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    width = self.features // 2
    x = ConvNormAct(width, kernel=7, stride=2, name='conv1')(x, train)
    x = ConvNormAct(width, stride=2, name='conv2')(x, train)
    x = ConvNormAct(width, stride=2, name='conv3')(x, train)
    return ConvNormAct(self.features, kernel=1, name='conv4')(x, train)


class FeatureFusion(nn.Module):
  """Joins details and context, and adds the result times a gate to itself.

  Section 3.3, figure 2c, with one convolution for the gate.
  """

  features: int

  @nn.compact
  def __call__(self, spatial, context, train):
    x = jnp.concatenate([spatial, context], -1)
    x = ConvNormAct(self.features, kernel=1, name='conv')(x, train)
    gate = ConvNormAct(self.features, kernel=1, name='gate')
    return x + x * nn.sigmoid(gate(x.mean((1, 2), keepdims=True), train))


class Model(nn.Module):
  """Spatial path beside a backbone with a context path, fused at stride 8."""

  num_classes: int
  backbone: str = 'resnet/18'
  features: int = 128  # Of each path; twice as many where they are fused.
  dropout: float = 0.1
  aux_features: int = 64  # Channels of the auxiliary heads; 0: there are none.

  @nn.compact
  def __call__(self, image, *, train=False):
    size = image.shape[1:3]
    feats = backbones.build(self.backbone, ('c3', 'c4', 'c5'), name='backbone')(
        image, train
    )
    context = ContextPath(self.features, name='context')(feats, train)
    spatial = SpatialPath(self.features, name='spatial')(image, train)
    x = FeatureFusion(2 * self.features, name='fusion')(
        spatial, context['c3'], train
    )
    x = ConvNormAct(2 * self.features, name='conv')(x, train)
    outputs = segmentation_outputs(
        x, self.num_classes, size, train, dropout=self.dropout
    )
    outputs['aux'] = auxiliary_heads(
        context,
        dict.fromkeys(context, self.aux_features),
        self.num_classes,
        size,
        train,
        dropout=self.dropout,
    )
    return outputs
