"""ExFuse, https://arxiv.org/abs/1804.03821.

GCN's decoder, with more semantics brought into fine features and more detail
into coarse ones: the coarser levels gate a finer one by multiplication, the
coarsest scores are enlarged by a pixel shuffle with a loss of its own, and the
last scores are means of neighbouring predictions. Built from the paper, which
no released code follows: there is none of its authors. Where it leaves a choice
open, the choice is ours: global kernels of 7, no boundary refinement, the
widths of a ResNeXt whose layers are rearranged, the semantic supervision's
convolutions, on which levels predictions are dense, and zeros outside of the
image. Checked against a network in PyTorch with the same choices.
"""

from collections.abc import Mapping

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.global_conv import GlobalConv
from segjax.layers.global_conv import he_normal
from segjax.layers.upsample import upsample
from segjax.ops.pixel_shuffle import pixel_shuffle
from segjax.ops.resize import resize

LEVELS = ('c2', 'c3', 'c4', 'c5')


class SemanticSupervision(nn.Module):
  """Classifies images by the features of an early stage; section 3.1."""

  image_classes: int

  @nn.compact
  def __call__(self, x, train):
    for i in (1, 2):
      x = ConvNormAct(x.shape[-1], name=f'conv{i}')(x, train)
    return nn.Dense(self.image_classes, name='classifier')(x.mean((1, 2)))


class SemanticEmbedding(nn.Module):
  """Multiplies features by a convolution of each coarser level; section 3.1."""

  @nn.compact
  def __call__(self, x, coarser: Mapping[str, jax.Array]):
    """Returns features of the shape of x [B, H, W, C]."""
    total = x
    for level, feats in coarser.items():
      gate = conv(x.shape[-1], bias=True, init=he_normal, name=level)(feats)
      total *= resize(gate, x.shape[1:3])
    return total


class Model(nn.Module):
  """Backbone, gated levels, global convolutions, dense adjacent prediction.

  Auxiliary logits 'c4' are the enlarged coarsest scores.
  """

  num_classes: int
  backbone: str = 'resnet/next101_32x4d(depths=(8, 8, 9, 8))'
  kernel: int = 7  # Length of the rows and columns of the global convolutions.
  adjacent: int = 3  # Rows and columns of neighbours that predict a pixel.
  # Classes of whole images, which semantic supervision learns while the
  # backbone is pretrained; 0 leaves it out.
  image_classes: int = 0
  upsampling: str = 'transposed'  # Of the decoder, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(self.backbone, ('c1', *LEVELS), name='backbone')(
        image, train
    )
    dense = self.num_classes * self.adjacent**2
    scores = {}
    for i, level in enumerate(LEVELS):
      coarser = {name: feats[name] for name in LEVELS[i + 1 :]}
      x = feats[level]
      if coarser:
        x = SemanticEmbedding(name=f'embed_{level}')(x, coarser)
      features = dense if level in ('c2', 'c3') else self.num_classes
      scores[level] = GlobalConv(features, self.kernel, name=f'score_{level}')(
          x
      )

    x = conv(4 * self.num_classes, bias=True, init=he_normal, name='detail')(
        scores['c5']
    )
    detail = crop(pixel_shuffle(x, 2), scores['c4'])
    x = detail + scores['c4']
    for level, finer in (
        ('c3', scores['c3']),
        ('c2', scores['c2']),
        ('c1', feats['c1']),
        ('image', image),
    ):
      x = upsample(
          self.upsampling,
          dense,
          kernel=4,
          padding=1,
          bias=True,
          name=f'enlarge_{level}',
      )(x)
      x = crop(x, finer)
      if level in scores:
        x += scores[level]
    outputs = {
        'logits': adjacent_mean(x, self.adjacent),
        'aux': {'c4': resize(detail, image.shape[1:3])},
    }
    if self.image_classes:
      outputs['image_logits'] = {
          level: SemanticSupervision(
              self.image_classes, name=f'supervise_{level}'
          )(feats[level], train)
          for level in ('c2', 'c3', 'c4')
      }
    return outputs


def crop(x: jax.Array, like: jax.Array) -> jax.Array:
  """Returns the first rows and columns of x, as many as `like` has."""
  return x[:, : like.shape[1], : like.shape[2]]


def adjacent_mean(x: jax.Array, side: int) -> jax.Array:
  """Averages the scores that the neighbours of a pixel predict for it.

  Densely adjacent prediction, section 3.2 of the paper.

  Args:
    x: [B, H, W, side * side * K]. The first K channels are for the pixel at the
      lower right of the pixel that has them, and so on row by row.
    side: rows and columns of the square of neighbours, odd.

  Returns:
    [B, H, W, K]; outside of the image all scores are zero.
  """
  if side % 2 == 0:
    raise ValueError(
        f'adjacent={side}: the neighbours of a pixel are a square with an odd'
        ' side, such as 3, and the pixel its centre.'
    )
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height, width, side, side, channels // side**2)
  reach = side // 2
  inside = ((reach, reach), (reach, reach))
  x = jnp.pad(x, ((0, 0), *inside, (0, 0), (0, 0), (0, 0)))
  total = sum(
      x[:, row : row + height, column : column + width, row, column]
      for row in range(side)
      for column in range(side)
  )
  return total / side**2
