"""Swin Transformer, https://arxiv.org/abs/2103.14030.

A transformer on four resolutions, with attention in windows that every second
block shifts by half of their size. Images may have any size: patches, windows
and mergings are padded with zeros below and on the right. Checked against
transformers 5.24; mmsegmentation computes the same. The variants with windows
of 12 are 'swin/base(window=12)' and the like.
"""

from flax import linen as nn
import jax.numpy as jnp
import numpy as np

from segjax.backbones.vit import dense
from segjax.backbones.vit import normal
from segjax.layers import remat
from segjax.layers.conv import Conv
from segjax.layers.dropout import drop_path
from segjax.layers.norm import layer_norm
from segjax.layers.window_attention import WindowAttention

EPSILON = 1e-5  # Of all norms.


class Block(nn.Module):
  """Adds attention in windows and then an MLP, each after a norm; figure 3b."""

  heads: int
  window: int
  shifted: bool
  shrink: bool
  drop_path: float  # Probability that an image skips a branch in training.

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    y = layer_norm('norm1', epsilon=EPSILON)(x)
    y = WindowAttention(
        self.heads, self.window, self.shifted, self.shrink, name='attention'
    )(y)
    x += drop_path(self.drop_path, train)(y)
    y = layer_norm('norm2', epsilon=EPSILON)(x)
    y = nn.gelu(dense(4 * x.shape[-1], name='expand')(y), approximate=False)
    y = dense(x.shape[-1], name='reduce')(y)
    return x + drop_path(self.drop_path, train)(y)


class PatchMerging(nn.Module):
  """Joins 2x2 pixels to one of twice the channels, by a norm and a product."""

  @nn.compact
  def __call__(self, x):
    border = [(0, side % 2) for side in x.shape[1:3]]
    x = jnp.pad(x, ((0, 0), *border, (0, 0)))
    # Column by column.
    parts = [x[:, i::2, j::2] for j in range(2) for i in range(2)]
    y = layer_norm('norm', epsilon=EPSILON)(jnp.concatenate(parts, -1))
    return nn.Dense(
        2 * x.shape[-1], use_bias=False, kernel_init=normal, name='reduce'
    )(y)


class Backbone(nn.Module):
  """Patches of 4x4, four stages of blocks, and merging between them.

  'c2' to 'c5' are the outputs of the stages at strides 4, 8, 16 and 32, each
  after a norm of its own. As a classifier there are no such norms, but one
  before the classifier, as in the published ones.
  """

  width: int  # Channels of the first stage; each next one has twice as many.
  depths: tuple[int, int, int, int]  # Blocks of the stages.
  heads: tuple[int, int, int, int]  # Attention heads of the stages.
  window: int = 7  # Rows and columns of windows.
  shrink: bool = False  # See `WindowAttention`.
  # Probability that an image skips a branch of the last block in training. It
  # grows linearly from 0 in the first block.
  drop_path: float = 0.3
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.

  levels = ('c2', 'c3', 'c4', 'c5')

  @property
  def layer_names(self):
    """Names of parameters by layer: the patches, and each block.

    Merging is in the layer of the block in front of it.
    """
    names = ['patches']
    for i, depth in enumerate(self.depths, 1):
      names += [f'stage{i}_{j}/' for j in range(depth)]
      names[-1] += f'|merge{i + 1}/'
    return tuple(names)

  @nn.compact
  def __call__(self, image, train=False):
    border = [(0, -side % 4) for side in image.shape[1:3]]
    x = Conv(self.width, (4, 4), strides=4, padding='VALID', name='patches')(
        jnp.pad(image, ((0, 0), *border, (0, 0)))
    )
    x = layer_norm('patches_norm', epsilon=EPSILON)(x)
    feats = {}
    rates = iter(np.linspace(0, self.drop_path, sum(self.depths)).tolist())
    for i, (depth, heads) in enumerate(
        zip(self.depths, self.heads, strict=True), 1
    ):
      if i > 1:
        x = PatchMerging(name=f'merge{i}')(x)
      for j in range(depth):
        x = Block(
            heads,
            self.window,
            j % 2 == 1,
            self.shrink,
            next(rates),
            name=f'stage{i}_{j}',
        )(x, train)
      level = f'c{i + 1}'
      feats[level] = x
      if not self.num_classes:
        feats[level] = layer_norm(f'norm{i}', epsilon=EPSILON)(x)
    if self.num_classes:
      mean = layer_norm('norm', epsilon=EPSILON)(x).mean((1, 2))
      feats['class_logits'] = dense(self.num_classes, name='classifier')(mean)
    return feats


VARIANTS = {
    'mini': dict(
        width=16,
        depths=(2, 2, 2, 2),
        heads=(2, 2, 4, 4),
        window=4,
        drop_path=0.1,
    ),
    'tiny': dict(width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24)),
    'small': dict(width=96, depths=(2, 2, 18, 2), heads=(3, 6, 12, 24)),
    'base': dict(width=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32)),
    'large': dict(width=192, depths=(2, 2, 18, 2), heads=(6, 12, 24, 48)),
}
