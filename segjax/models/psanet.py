"""PSANet, https://openaccess.thecvf.com/content_ECCV_2018/html/Hengshuang_Zhao_PSANet_Point-wise_Spatial_ECCV_2018_paper.html.

Point-wise spatial attention: each position predicts a mask over all others by
their offset from it. By one mask it collects features from them, by a second
one it distributes its own. As mmsegmentation 1.2.2 builds it. The author's own
(hszhao/semseg) has `padded=False, align_corners=True` on
'resnet/50_v1s(output_stride=8, dilate_first=True)', and a mask that covers the
training crop, of 2 * ((crop - 1) // 16 + 1) - 1 cells a side. Checked against
both.

Images may have any size. Where the map is larger than a mask reaches, the pairs
that are too far apart score 0, as in the originals.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points
from segjax.ops import psa_mask
from segjax.ops.resize import resize

DIRECTIONS = {
    'collect': ('collect',),
    'distribute': ('distribute',),
    'both': ('collect', 'distribute'),
}


class PointwiseAttention(nn.Module):
  """Averages reduced features by the masks that positions predict."""

  features: int
  mask: tuple[int, int]  # Rows and columns of a mask.
  pairs: Callable  # Of ops.psa_mask: which way the masks are read.

  @nn.compact
  def __call__(self, x, size, align_corners, train):
    """Returns [B, height, width, features].

    Args:
      x: the last features of the backbone, [B, H, W, C].
      size: (height, width) that reduced features are shrunk to.
      align_corners: whether shrinking aligns the centres of corner pixels.
      train: whether norms take their statistics from the batch.
    """
    x = ConvNormAct(self.features, kernel=1, name='reduce')(x, train)
    x = resize(x, size, align_corners=align_corners)
    y = ConvNormAct(self.features, kernel=1, name='hidden')(x, train)
    y = conv(self.mask[0] * self.mask[1], 1, name='mask')(y)
    scores = self.pairs(y, self.mask).astype(jnp.float32)
    weights = jax.nn.softmax(scores).astype(x.dtype)
    y = jnp.einsum(
        'bhwk,bkc->bhwc',
        weights,
        x.reshape(len(x), -1, self.features),
        preferred_element_type=jnp.float32,
    )
    return y.astype(x.dtype)


class Model(nn.Module):
  """Dilated backbone, point-wise spatial attention, one 3x3 convolution."""

  num_classes: int
  backbone: str = 'resnet/50_v1c(output_stride=8)'
  features: int = 512
  directions: str = 'both'  # Or 'collect' or 'distribute' alone.
  mask: tuple[int, int] = (97, 97)  # Rows and columns of a mask.
  # Whether the map has a border of zeros where it is projected, which is then
  # resized with it, as in mmsegmentation.
  padded: bool = True
  # Whether all resizing aligns corners. If not, attention does still where both
  # sides of the map are odd.
  align_corners: bool = False
  dropout: float = 0.1
  aux_level: str = 'c4'  # Level of the auxiliary head; '' omits it.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    if self.directions not in DIRECTIONS:
      raise ValueError(
          f'directions={self.directions!r}: PSANet has one of'
          f' {", ".join(DIRECTIONS)}.'
      )
    feats = backbones.build(
        self.backbone,
        ('c5', self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    x = feats['c5']
    height, width, channels = x.shape[1:]
    align = self.align_corners or bool(height % 2 and width % 2)
    half = tuple(
        (side - 1) // 2 + 1 if align else max(side // 2, 1)
        for side in (height, width)
    )
    gathered = [
        PointwiseAttention(
            self.features, self.mask, getattr(psa_mask, name), name=name
        )(x, half, align, train)
        for name in DIRECTIONS[self.directions]
    ]
    y = ConvNormAct(
        channels, kernel=1, padding=int(self.padded), name='project'
    )(jnp.concatenate(gathered, -1), train)
    y = resize(y, (height, width), align_corners=align)
    x = jnp.concatenate([x, y], -1)
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
