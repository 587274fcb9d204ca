"""FastFCN, https://arxiv.org/abs/1903.11816.

A backbone strides to 32 as in classification, and joint pyramid upsampling
(JPU) makes of its last three levels what dilation would: features at stride 8,
for the head of PSPNet, DeepLabv3 or EncNet. As mmsegmentation 1.2.2 builds it,
whose backbone dilates in spite of its strides, which the paper's does not. The
authors' own (wuhuikai/FastFCN) is 'resnet/50_v1s' with `align_corners=True`.
Checked against mmsegmentation with each head.
"""

from collections.abc import Callable

from flax import linen as nn
import jax

from segjax import backbones
from segjax.layers.aspp import ASPP
from segjax.layers.conv import ConvNormAct
from segjax.layers.encoding import ContextEncoding
from segjax.layers.head import segmentation_outputs
from segjax.layers.jpu import JPU
from segjax.layers.point_head import level_of
from segjax.layers.psp import PyramidPooling
from segjax.ops import points
from segjax.ops.presence import presence_loss

HEADS = 'psp', 'aspp', 'enc'


class Model(nn.Module):
  """Strided backbone, JPU, context of one of three kinds, upsampling.

  With the head 'enc', 'presence' of the outputs, [B, K], scores whether a class
  occurs in an image.
  """

  num_classes: int
  backbone: str = 'resnet/50_v1c(dilations=(1, 1, 2, 4))'
  head: str = 'psp'  # Of PSPNet 'psp', of DeepLabv3 'aspp', of EncNet 'enc'.
  features: int = 512
  bins: tuple[int, ...] = (1, 2, 3, 6)  # Grids of 'psp'.
  rates: tuple[int, ...] = (12, 24, 36)  # Dilations of 'aspp'.
  num_codewords: int = 32  # Of 'enc'.
  align_corners: bool = False
  dropout: float = 0.1
  aux_level: str = 'c4'  # Level of the auxiliary head; '' omits it.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    if self.head not in HEADS:
      raise ValueError(
          f'head={self.head!r}: FastFCN has one of {", ".join(HEADS)}.'
      )
    levels = 'c3', 'c4', 'c5'
    feats = backbones.build(
        self.backbone,
        (*levels, self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    x = JPU(self.features, align_corners=self.align_corners, name='jpu')(
        [feats[level] for level in levels], train
    )
    if self.head == 'psp':
      x = PyramidPooling(
          self.features, self.bins, self.align_corners, name='ppm'
      )(x, train)
    elif self.head == 'aspp':
      x = ASPP(
          self.features,
          self.rates,
          image_first=True,
          project_kernel=0,
          name='aspp',
      )(x, train)
    x = ConvNormAct(self.features, name='fuse')(x, train)
    scores = {}
    if self.head == 'enc':
      encoding = ContextEncoding(self.num_codewords, name='encoding')
      x, context = encoding(x, train)
      scores['presence'] = nn.Dense(self.num_classes, name='presence')(context)
    outputs = segmentation_outputs(
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
    return {**outputs, **scores}


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    presence_weight: float = 0.2,
    point_weight: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Adds EncNet's semantic encoding loss where the head is 'enc'.

  Args:
    out: outputs of the model.
    batch: what they are outputs for.
    rng: key of the step.
    base: loss of the task.
    presence_weight: factor of the added term.
    point_weight: factor of the loss of a point head.
  """
  total, parts = points.loss(
      out, batch, rng, base=base, point_weight=point_weight
  )
  if 'presence' not in out:
    return total, parts
  presence = presence_loss(out['presence'], batch['label'])
  return total + presence_weight * presence, {**parts, 'presence': presence}
