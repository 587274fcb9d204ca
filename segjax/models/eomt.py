"""EoMT, Encoder-only Mask Transformer, https://arxiv.org/abs/2503.19108.

Queries enter a plain vision transformer as further tokens before its last
blocks (figure 1), and predict a class and a mask each: there is no decoder.
Training predicts before each of these blocks as well, and a query sees only the
patches of the mask that it predicted there. The masks are taken away in the
course of training, block by block and from more and more of the queries
(section 3.3), so that prediction needs none; `annealing` are the shares of the
run at which each block's begins and the last one's ends. An evaluation before
the end of the annealing sees queries without the masks that they still have.

Checked against transformers 5.24. Task 'semantic' or 'panoptic'.
"""

import itertools

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import conv
from segjax.layers.norm import layer_norm
from segjax.layers.upsample import upsample
from segjax.ops import mask_classification
from segjax.ops.resize import resize

normal = nn.initializers.normal(0.02)
POWER = 0.9  # Of the annealing, as in the authors' code.


class Model(nn.Module):
  """Vision transformer with queries in its last blocks."""

  num_classes: int
  backbone: str = (
      'vit/dinov2_large(patch=16, image_size=(512, 512), registers=4,'
      ' class_position=False)'
  )
  queries: int = 100
  blocks: int = 4  # Number of last blocks that the queries enter.
  upscales: int = 2  # Doublings of the patches' resolution for masks.
  upsampling: str = 'transposed'  # Of these, see `layers.upsample`.
  # For each of these blocks where in the run its masks begin to go, and where
  # those of the last one are gone.
  annealing: tuple[float, ...] = (1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6)

  train_reads = ('image', 'progress')
  unread = ('centers', 'offsets')

  @nn.compact
  def __call__(self, image, *, progress=0.0, train=False):
    rising = all(a < b for a, b in itertools.pairwise(self.annealing))
    if not rising or len(self.annealing) != self.blocks + 1:
      raise ValueError(
          f'annealing={self.annealing}: {self.blocks} blocks with queries want'
          f' {self.blocks + 1} rising shares of the run.'
      )
    predictions = []
    head = Head(self.num_classes, self.upscales, self.upsampling, name='head')

    def before(i, x, norm):
      k = i - (backbone.depth - self.blocks)
      if k == 0:
        own = jnp.broadcast_to(queries, (len(x), *queries.shape))
        x = jnp.concatenate([own.astype(x.dtype), x], 1)
      mask = None
      if k == self.blocks or (train and k >= 0):
        predictions.append(head(norm(x), self.queries, grid))
        if k < self.blocks:
          shares = self.annealing[k : k + 2]
          masks = predictions[-1][1]
          mask = self._mask(masks, x.shape[1], grid, shares, progress)
      return x, mask

    backbone = backbones.build(self.backbone, before=before, name='backbone')
    queries = self.param('queries', normal, (self.queries, backbone.width))
    grid = [-(-side // backbone.patch) for side in image.shape[1:3]]
    backbone(image, train)
    classes, masks = predictions[-1]
    out = {
        'logits': mask_classification.semantic_logits(
            classes, masks, image.shape[1:3]
        ),
        'aux': {},
        'class_logits': classes,
        'mask_logits': masks,
    }
    if train:
      stacked = map(jnp.stack, zip(*predictions, strict=True))
      out['layer_class_logits'], out['layer_mask_logits'] = stacked
    return out

  def _mask(self, masks, tokens, grid, shares, progress):
    """Returns which tokens each token sees, [B, N, N].

    A query sees the patches that its mask covers, unless it was drawn to be
    without a mask, and all tokens that are no patches. Other tokens see all.

    Args:
      masks: logits [B, h, w, Q].
      tokens: N.
      grid: (rows, columns) of the patches.
      shares: of the run, at which the masks begin to go and are gone.
      progress: share of the run that is done.
    """
    batch, queries = len(masks), self.queries
    covered = resize(masks.astype(jnp.float32), grid) > 0
    covered = covered.reshape(batch, -1, queries).swapaxes(1, 2)
    begin, end = shares
    done = jnp.clip((progress - begin) / (end - begin), 0, 1)
    draws = jax.random.uniform(self.make_rng('sample'), (batch, queries, 1))
    covered |= draws > (1 - done) ** POWER
    mask = jnp.ones((batch, tokens, tokens), bool)
    return mask.at[:, :queries, -covered.shape[2] :].set(covered)


class Head(nn.Module):
  """Predicts a class and a mask of each query, from tokens after the norm."""

  num_classes: int
  upscales: int
  upsampling: str  # See `Model`.

  @nn.compact
  def __call__(self, tokens, queries, grid):
    """Returns class logits [B, Q, K + 1] and mask logits [B, h, w, Q].

    Args:
      tokens: [B, N, C], the queries first and the patches last.
      queries: Q.
      grid: (rows, columns) of the patches.
    """
    batch, _, width = tokens.shape
    rows, columns = grid
    query = tokens[:, :queries]
    classes = nn.Dense(
        self.num_classes + 1, kernel_init=normal, name='classifier'
    )(query)
    for i in (1, 2, 3):
      query = nn.Dense(width, kernel_init=normal, name=f'mask{i}')(query)
      if i < 3:
        query = nn.gelu(query, approximate=False)
    x = tokens[:, -rows * columns :].reshape(batch, rows, columns, width)
    for i in range(self.upscales):
      x = Upscale(self.upsampling, name=f'upscale{i}')(x)
    return classes, jnp.einsum('bqc,bhwc->bhwq', query, x)


class Upscale(nn.Module):
  """Doubles the sides of a map."""

  upsampling: str  # See `Model`.

  @nn.compact
  def __call__(self, x):
    width = x.shape[-1]
    x = upsample(self.upsampling, width, bias=True, name='enlarge')(x)
    x = nn.gelu(x, approximate=False)
    x = conv(width, groups=width, name='depthwise')(x)
    return layer_norm('norm')(x)


# That of all predictions, in the place of the task's.
loss = mask_classification.loss
