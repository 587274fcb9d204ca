"""CPNet, https://arxiv.org/abs/2004.01547.

The context prior says of each pixel which other pixels of the map are of its
class, and learns it from the ideal affinity of the labels. It gathers the
context within the class, and its complement that of the other classes. As the
authors' code (ycszen/ContextPrior) builds it, and checked against it. There is
a channel of the prior for each place of the map, so the model takes images of
one size alone; prediction sees others through windows of that size.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax import backbones
from segjax.layers.conv import Conv
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import he_normal
from segjax.layers.head import segmentation_outputs
from segjax.layers.norm import BatchNorm
from segjax.layers.point_head import level_of
from segjax.ops import points
from segjax.ops.reduce import mean_over
from segjax.ops.reduce import ratio
from segjax.ops.resize import resize

# Logarithms are cut here, as in PyTorch's binary cross entropy.
LEAST_LOG = -100.0


class Aggregation(nn.Module):
  """Gathers the surroundings of each pixel, by long kernels within channels.

  Two paths have a vertical and a horizontal kernel each, in either order, and
  are added up; section 3.3 of the paper.
  """

  features: int
  kernel: int

  @nn.compact
  def __call__(self, x, train):
    x = ConvNormAct(self.features, name='reduce')(x, train)
    down = self.strips(x, ('down1', 'across1'))
    across = self.strips(x, ('across2', 'down2'))
    return nn.relu(BatchNorm(train, name='norm')(down + across))

  def strips(self, x, names):
    """Applies two convolutions within channels, 'down' and 'across'."""
    for name in names:
      long, reach = self.kernel, (self.kernel - 1) // 2
      down = name.startswith('down')
      x = Conv(
          self.features,
          (long, 1) if down else (1, long),
          padding=[(reach * down,) * 2, (reach * (not down),) * 2],
          feature_group_count=self.features,
          kernel_init=he_normal,
          name=name,
      )(x)
    return x


class Model(nn.Module):
  """Dilated backbone, aggregation, context within classes and between them.

  'prior' of the outputs, [B, h, w, h * w], scores that the pixel of a map at
  stride 8 and each of its pixels, row by row, are of one class.
  """

  num_classes: int
  sides: tuple[int, int] = (512, 512)  # (height, width) of all images.
  backbone: str = 'resnet/50_v1c(output_stride=8)'
  features: int = 512
  kernel: int = 11  # Length of the kernels of the aggregation.
  align_corners: bool = False
  dropout: float = 0.1
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    size = image.shape[1:3]
    if size != tuple(self.sides):
      raise ValueError(
          f'This CPNet takes images of {self.sides[0]} x {self.sides[1]} alone,'
          f' and was given {size[0]} x {size[1]}: crop or pad to that size, or'
          f' train one with config.model.sides={size}.'
      )
    feats = backbones.build(
        self.backbone,
        ('c5', self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    x = feats['c5']
    value = Aggregation(self.features, self.kernel, name='aggregation')(
        x, train
    )
    _, height, width, _ = value.shape
    places = height * width
    prior = ConvNormAct(places, kernel=1, act=None, name='prior')(value, train)
    within, between = gather(jax.nn.sigmoid(prior), value)
    within = ConvNormAct(self.features, kernel=1, name='intra')(within, train)
    between = ConvNormAct(self.features, kernel=1, name='inter')(between, train)
    x = jnp.concatenate([x, within, between], -1)
    x = ConvNormAct(self.features, name='fuse')(x, train)
    outputs = segmentation_outputs(
        x,
        self.num_classes,
        size,
        train,
        dropout=self.dropout,
        feats=feats,
        aux_level=self.aux_level,
        align_corners=self.align_corners,
        points=self.points,
    )
    return {**outputs, 'prior': prior}


def gather(prior: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the context of each pixel's class, and that of the others.

  Args:
    prior: [B, h, w, h * w], from 0 to 1: whether two pixels are of one class.
    value: [B, h, w, C].

  Returns:
    The sums of the values of all pixels, weighted by the prior and by its
    complement, over the number of pixels: [B, h, w, C] each.
  """
  batch, height, width, channels = value.shape
  places = height * width
  flat = value.reshape(batch, places, channels)
  within = jnp.einsum(
      'bhwp,bpc->bhwc', prior, flat, preferred_element_type=jnp.float32
  )
  total = flat.astype(jnp.float32).sum(1)[:, None, None]
  return tuple(
      (y / places).astype(value.dtype) for y in (within, total - within)
  )


def ideal_affinity(labels: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Tells which pixels of a coarser grid have the same label.

  Args:
    labels: [B, H, W], integers.
    size: (height, width) of the grid; its pixel i is pixel i * old / new of the
      labels, rounded down.

  Returns:
    [B, N, N] booleans, N is height * width.
  """
  labels = resize(labels[..., None].astype(jnp.float32), size, method='nearest')
  labels = labels.reshape(len(labels), -1)
  return labels[:, :, None] == labels[:, None, :]


def affinity_terms(prior: jax.Array, ideal: jax.Array) -> dict[str, jax.Array]:
  """Computes the terms of the affinity loss; their sum is the loss.

  'unary' is a binary cross entropy over all pairs of pixels. The others are
  negative logarithms of the recall, specificity and precision of each pixel's
  partners, other than itself. A pixel without partners has a constant recall
  and precision of 0.

  Args:
    prior: [B, N, N], from 0 to 1.
    ideal: [B, N, N] booleans.

  Returns:
    {name: float32 scalar}, means over pairs or pixels.
  """
  prior, same = prior.astype(jnp.float32), ideal.astype(jnp.float32)
  other = 1 - same
  partners = same * (1 - np.eye(same.shape[-1], dtype=np.float32))
  found = (prior * partners).sum(-1)
  shares = {
      'recall': ratio(found, partners.sum(-1)),
      'specificity': ratio(((1 - prior) * other).sum(-1), other.sum(-1)),
      'precision': ratio(found, prior.sum(-1)),
  }
  unary = same * _cut_log(prior) + other * _cut_log(1 - prior)
  return {
      'unary': mean_over(-unary.sum(), unary.size),
      **{
          name: mean_over(-_cut_log(share).sum(), share.size)
          for name, share in shares.items()
      },
  }


def _cut_log(x):
  """Returns the logarithm from `LEAST_LOG` on; where it is cut, no gradient."""
  positive = x > jnp.finfo(jnp.float32).tiny
  return jnp.where(positive, jnp.log(jnp.where(positive, x, 1.0)), LEAST_LOG)


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    affinity_weight: float = 1.0,
    point_weight: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Adds the affinity loss: which pixels are of one class.

  As in the authors' code, ignored pixels count as a class of their own.

  Args:
    out: outputs of the model.
    batch: what they are outputs for.
    rng: key of the step.
    base: loss of the task.
    affinity_weight: factor of the added term.
    point_weight: factor of the loss of a point head.
  """
  total, parts = points.loss(
      out, batch, rng, base=base, point_weight=point_weight
  )
  prior, labels = out['prior'], batch['label'].astype(jnp.int32)
  num_classes = max(out['logits'].shape[-1], 2)
  known = (labels >= 0) & (labels < num_classes)
  ideal = ideal_affinity(
      jnp.where(known, labels, num_classes), prior.shape[1:3]
  )
  terms = affinity_terms(
      jax.nn.sigmoid(prior.astype(jnp.float32)).reshape(ideal.shape), ideal
  )
  affinity = sum(terms.values())
  return total + affinity_weight * affinity, {**parts, 'affinity': affinity}
