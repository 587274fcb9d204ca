"""Vision Transformer, https://arxiv.org/abs/2010.11929, on 16x16 patches.

Checked against timm 1.0.31 and, without `patch_bias` and `final_norm`, against
mmsegmentation 1.2.2. Images may have any size: they are padded with zeros at
the bottom and on the right to whole patches, and the position embeddings,
trained for `image_size`, are resized to their grid of patches.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import Conv
from segjax.layers.norm import layer_norm
from segjax.ops.position_table import resize_table

normal = nn.initializers.normal(0.02)


def dense(features, name):
  """Returns a linear layer with small initial weights."""
  return nn.Dense(features, kernel_init=normal, name=name)


class Embed(nn.Module):
  """Turns an image into tokens: a class token and one for each patch.

  Returns [B, 1 + number of patches, width], with position embeddings added.
  """

  width: int  # Channels of a token.
  patch: int  # Rows and columns of a patch.
  image_size: tuple[int, int]  # Size that there are position embeddings for.
  bias: bool  # Whether the projection of patches has a bias.
  method: str  # Interpolation of the position embeddings.

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
  """Applies multi-head self-attention to tokens [B, N, width]."""

  heads: int

  @nn.compact
  def __call__(self, x):
    # One product computes queries, keys and values, [B, N, 3, heads, channels].
    qkv = dense(3 * x.shape[-1], name='qkv')(x)
    qkv = qkv.reshape(*x.shape[:2], 3, self.heads, -1)
    x = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
    return dense(qkv.shape[-1] * self.heads, name='out')(
        x.reshape(*x.shape[:2], -1)
    )


class Block(nn.Module):
  """Adds attention and then an MLP to the tokens, each after a norm."""

  heads: int

  @remat.block
  @nn.compact
  def __call__(self, x):
    x += Attention(self.heads, name='attention')(layer_norm('norm1')(x))
    y = dense(4 * x.shape[-1], name='expand')(layer_norm('norm2')(x))
    return x + dense(x.shape[-1], name='reduce')(nn.gelu(y, approximate=False))


class Backbone(nn.Module):
  """Patch embedding, transformer blocks and a norm.

  Level 'block3' is the output of block 3, counted from 0, without the class
  token: [B, ceil(H / patch), ceil(W / patch), width].
  """

  width: int  # Channels of a token.
  depth: int  # Number of blocks.
  heads: int  # Attention heads of a block.
  patch: int = 16  # Rows and columns of a patch.
  image_size: tuple[int, int] = (224, 224)  # Size for position embeddings.
  resize: str = 'bicubic'  # How these are resized; see `ops/position_table.py`.
  taps: tuple[int, ...] = ()  # Blocks to return; empty: the last one.
  # Whether the class token enters the blocks. Its parameter exists in any case.
  class_token: bool = True
  patch_bias: bool = True  # Bias of the projection of patches.
  final_norm: bool = True  # Whether a norm follows the last block.
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.

  @property
  def levels(self):
    """Names of the levels that the backbone returns."""
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
