"""EncNet, https://arxiv.org/abs/1803.08904.

An encoding of the whole image, by its differences from learnt codewords, says
which channels matter and which classes are there. As mmsegmentation 1.2.2
builds it; the authors' own (zhanghang1989/PyTorch-Encoding) has
`align_corners=True` on 'resnet/50_v1s(output_stride=8)' and, for Pascal
Context, `lateral=True`. Checked against both.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.encoding import ContextEncoding
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points
from segjax.ops.presence import presence_loss
from segjax.ops.resize import resize


class Model(nn.Module):
  """Dilated backbone, one 3x3 convolution, channels gated by the encoding.

  'presence' of the outputs, [B, K], scores whether a class occurs in an image.
  """

  num_classes: int
  backbone: str = 'resnet/50_v1c(output_stride=8)'
  features: int = 512
  num_codewords: int = 32
  lateral: bool = False  # Joins the levels 'c3' and 'c4' to the features.
  align_corners: bool = False
  dropout: float = 0.1
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    laterals = ('c3', 'c4') if self.lateral else ()
    feats = backbones.build(
        self.backbone,
        ('c5', *laterals, self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    x = ConvNormAct(self.features, name='reduce')(feats['c5'], train)
    joined = [x]
    for level in laterals:
      y = ConvNormAct(self.features, kernel=1, name=f'lateral_{level}')(
          feats[level], train
      )
      joined.append(resize(y, x.shape[1:3], align_corners=self.align_corners))
    if laterals:
      x = jnp.concatenate(joined, -1)
      x = ConvNormAct(self.features, name='fuse')(x, train)
    x, context = ContextEncoding(self.num_codewords, name='encoding')(x, train)
    presence = nn.Dense(self.num_classes, name='presence')(context)
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
    return {**outputs, 'presence': presence}


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    presence_weight: float = 0.2,
    point_weight: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Adds the semantic encoding loss: which classes occur in each image.

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
  presence = presence_loss(out['presence'], batch['label'])
  return total + presence_weight * presence, {**parts, 'presence': presence}
