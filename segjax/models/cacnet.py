"""CaC-Net, https://arxiv.org/abs/2004.08222.

Context-adaptive convolution: from the whole map, a depthwise kernel is
predicted for every image and channel. Convolving the features with it says how
much each channel matters at each position, where squeeze and excitation says it
for the whole map. The paper leaves open: kernels of 3x3 at the dilations 1, 3
and 5 whose weights are added, as in a community's port, and what is joined.
Checked against a network that was built so; no code of the authors is public.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import segmentation_outputs


def convolve_each(x: jax.Array, kernels: jax.Array, dilation: int) -> jax.Array:
  """Convolves each image by depthwise kernels of its own.

  Args:
    x: [B, H, W, C]; zeros are around it.
    kernels: [B, side * side, C], row by row, of an odd side.
    dilation: step between kernel weights, in pixels.

  Returns:
    [B, H, W, C].
  """
  height, width = x.shape[1:3]
  side = round(kernels.shape[1] ** 0.5)
  reach = dilation * (side // 2)
  x = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
  total = 0
  for tap in range(side * side):
    top, left = (dilation * offset for offset in divmod(tap, side))
    shifted = x[:, top : top + height, left : left + width]
    total += shifted * kernels[:, None, None, tap]
  return total


class ContextAdaptiveConvolution(nn.Module):
  """Predicts kernels from the features, and weighs the features by them.

  Returns the weights, [B, H, W, C] from 0 to the number of dilations, and the
  kernels, [B, side * side, C].
  """

  side: int
  dilations: tuple[int, ...]

  @nn.compact
  def __call__(self, x):
    batch, _, _, channels = x.shape
    key = conv(channels, 1, bias=True, name='key')(x)
    query = conv(self.side**2, 1, bias=True, name='query')(x)
    query = nn.softmax(query.reshape(batch, -1, self.side**2), axis=1)
    kernels = jnp.einsum(
        'bnk,bnc->bkc', query, key.reshape(batch, -1, channels)
    )
    weights = sum(
        nn.sigmoid(convolve_each(x, kernels, dilation))
        for dilation in self.dilations
    )
    return weights, kernels


class Model(nn.Module):
  """Dilated backbone; features, weighted features and the image's mean."""

  num_classes: int
  backbone: str = 'resnet/50_v1s(output_stride=8)'
  features: int = 512
  side: int = 3  # Of the kernels.
  dilations: tuple[int, ...] = (1, 3, 5)
  dropout: float = 0.1
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone, ('c5', self.aux_level), name='backbone'
    )(image, train)
    x = ConvNormAct(self.features, name='reduce')(feats['c5'], train)
    weights, _ = ContextAdaptiveConvolution(
        self.side, self.dilations, name='context'
    )(x)
    mean = ConvNormAct(self.features, kernel=1, name='image')(
        x.mean((1, 2), keepdims=True), train
    )
    x = jnp.concatenate([x, x * weights, jnp.broadcast_to(mean, x.shape)], -1)
    x = ConvNormAct(self.features, name='fuse')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        feats=feats,
        aux_level=self.aux_level,
        align_corners=True,
    )
