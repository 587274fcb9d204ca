"""LR-ASPP, https://arxiv.org/abs/1905.02244, section 6.4.

A light head with global context: the mean of the deep features over the image,
after a 1x1 convolution and a sigmoid, scales their channels, and scores of
finer features are added. The defaults are torchvision's network, against which
it was checked. The paper averages over large windows instead (figure 10) and
reads fewer channels of the backbone:
`backbone='mobilenet/v3_large_seg(output_stride=16)', low='c3', pool_window=(49,
49), pool_stride=(16, 20)`, for images of 1024 x 2048.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import classifier
from segjax.ops.resize import resize


class Model(nn.Module):
  """Dilated backbone, 1x1 convolutions with a global gate, and a skip."""

  num_classes: int
  backbone: str = 'mobilenet/v3_large(output_stride=16)'
  low: str = 'c3_first'  # Level of the skip.
  features: int = 128
  # Rows and columns of the windows that the gate averages over; 0: all.
  pool_window: tuple[int, int] = (0, 0)
  pool_stride: tuple[int, int] = (1, 1)  # Distance between windows, in pixels.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(self.backbone, ('c5', self.low), name='backbone')(
        image, train
    )
    low, high = feats[self.low], feats['c5']
    sides = high.shape[1:3]
    window = tuple(
        min(side, length or side)
        for side, length in zip(sides, self.pool_window, strict=True)
    )
    gate = nn.avg_pool(high.astype(jnp.float32), window, self.pool_stride)
    gate = gate.astype(high.dtype)  # bfloat16 would sum inexactly.
    gate = nn.sigmoid(conv(self.features, 1, name='gate')(gate))
    high = ConvNormAct(self.features, kernel=1, name='project')(high, train)
    high = resize(high * resize(gate, sides), low.shape[1:3])
    logits = classifier(self.num_classes, 'low_classifier')(low)
    logits += classifier(self.num_classes, 'high_classifier')(high)
    return {'logits': resize(logits, image.shape[1:3]), 'aux': {}}
