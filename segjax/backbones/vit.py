"""Vision Transformer, https://arxiv.org/abs/2010.11929, on 16x16 patches.

Checked against timm 1.0.31, and against mmsegmentation 1.2.2, whose ViT has
neither `patch_bias` nor `final_norm`. Images of any size do: they are padded
with zeros at the bottom and the right to whole patches, and the table of
positions, learned for `image_size`, is resized to their grid.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import Conv
from segjax.ops.position_table import resize_table

normal = nn.initializers.normal(0.02)


def dense(features, name):
  """Linear layer, small at the start."""
  return nn.Dense(features, kernel_init=normal, name=name)


def layer_norm(name):
  """Norm over the channels of each token."""
  return nn.LayerNorm(epsilon=1e-6, use_fast_variance=False, name=name)


class Embed(nn.Module):
  """Patches as tokens behind the class token, and where they lie."""

  width: int
  patch: int
  image_size: tuple[int, int]
  bias: bool
  method: str

  @nn.compact
  def __call__(self, image):
    height, width = (-side % self.patch for side in image.shape[1:3])
    x = Conv(
        self.width,
        (self.patch, self.patch),
        strides=self.patch,
        padding='VALID',
        use_bias=self.bias,
        name='patch',
    )(jnp.pad(image, ((0, 0), (0, height), (0, width), (0, 0))))
    token = self.param('class_token', normal, (1, 1, self.width))
    old = tuple(side // self.patch for side in self.image_size)
    shape = (1, 1 + old[0] * old[1], self.width)
    table = self.param('positions', normal, shape)
    table = resize_table(table, old, x.shape[1:3], self.method)
    patches = x.reshape(x.shape[0], -1, self.width)
    token = jnp.broadcast_to(token, (x.shape[0], 1, self.width))
    return jnp.concatenate([token, patches], 1) + table


class Attention(nn.Module):
  """Every token looks at all tokens."""

  heads: int

  @nn.compact
  def __call__(self, x):
    # Queries, keys and values from one product, the heads side by side in each.
    qkv = dense(3 * x.shape[-1], name='qkv')(x)
    qkv = qkv.reshape(*x.shape[:2], 3, self.heads, -1)
    x = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
    return dense(qkv.shape[-1] * self.heads, name='out')(
        x.reshape(*x.shape[:2], -1)
    )


class Block(nn.Module):
  """Attention and a perceptron, each on the norm of its input and added."""

  heads: int

  @remat.block
  @nn.compact
  def __call__(self, x):
    x += Attention(self.heads, name='attention')(layer_norm('norm1')(x))
    y = dense(4 * x.shape[-1], name='expand')(layer_norm('norm2')(x))
    return x + dense(x.shape[-1], name='reduce')(nn.gelu(y, approximate=False))


class Backbone(nn.Module):
  """Patches, blocks, norm; 'block3' is what block 3, counted from 0, returns.

  Feature maps are the tokens of the patches, [B, H / patch, W / patch, width].
  """

  width: int
  depth: int
  heads: int
  patch: int = 16
  image_size: tuple[int, int] = (224, 224)  # Of the table of positions.
  resize: str = 'bicubic'  # Of that table; see `ops/position_table.py`.
  taps: tuple[int, ...] = ()  # Blocks to return; empty: the last one.
  # Whether the class token enters the blocks. It is learned in any case.
  class_token: bool = True
  patch_bias: bool = True
  final_norm: bool = True  # On what the last block returns.
  num_classes: int = 0  # Of 'class_logits'; 0 builds none.

  @property
  def levels(self):
    """Levels that there are features of."""
    return tuple(f'block{i}' for i in self.taps or (self.depth - 1,))

  @nn.compact
  def __call__(self, image, train=False):
    taps = self.taps or (self.depth - 1,)
    if not set(taps) <= set(range(self.depth)):
      raise ValueError(
          f'taps={taps}: this ViT has the blocks 0 to {self.depth - 1}.'
      )
    x = Embed(
        self.width,
        self.patch,
        self.image_size,
        self.patch_bias,
        self.resize,
        name='embed',
    )(image)
    grid = [-(-side // self.patch) for side in image.shape[1:3]]
    if not self.class_token:
      x = x[:, 1:]
    feats = {}
    for i in range(self.depth):
      x = Block(self.heads, name=f'block{i}')(x)
      if i == self.depth - 1 and self.final_norm:
        x = layer_norm('norm')(x)
      if i in taps:
        patches = x[:, -grid[0] * grid[1] :]
        feats[f'block{i}'] = patches.reshape(-1, *grid, self.width)
    if self.num_classes:
      token = x[:, 0] if self.class_token else x.mean(1)
      feats['class_logits'] = dense(self.num_classes, name='classifier')(token)
    return feats


SIZES = {
    'tiny': dict(width=192, depth=12, heads=3),
    'small': dict(width=384, depth=12, heads=6),
    'base': dict(width=768, depth=12, heads=12),
    'large': dict(width=1024, depth=24, heads=16),
}
VARIANTS = {
    **SIZES,
    **{
        f'{name}_384': {**fields, 'image_size': (384, 384)}
        for name, fields in SIZES.items()
    },
}
