"""Vision Transformer, https://arxiv.org/abs/2010.11929, on square patches.

The variants 'dinov2_small' to 'dinov2_giant' are those of DINOv2,
https://arxiv.org/abs/2304.07193, on 14x14 patches with layer scale; with
`registers=4` they are those of https://arxiv.org/abs/2309.16588.

Checked against timm 1.0.31, transformers 5.24 (DINOv2) and, without
`patch_bias` and `final_norm`, against mmsegmentation 1.2.2. Images may have any
size: they are padded with zeros at the bottom and on the right to whole
patches, and the position embeddings, trained for `image_size`, are resized to
their grid of patches. DINOv2's authors add 0.1 to the size of the new grid in
the factor by which they resize; here, as in transformers, nothing is added.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import Conv
from segjax.layers.layer_scale import LayerScale
from segjax.layers.norm import layer_norm
from segjax.ops.position_table import resize_table

normal = nn.initializers.normal(0.02)


def dense(features, name):
  """Returns a linear layer with small initial weights."""
  return nn.Dense(features, kernel_init=normal, name=name)


class Embed(nn.Module):
  """Turns an image into tokens: a class token and one for each patch.

  Returns [B, 1 + registers + number of patches, width], the class token first,
  with position embeddings added.
  """

  width: int  # Channels of a token.
  patch: int  # Rows and columns of a patch.
  image_size: tuple[int, int]  # Size that there are position embeddings for.
  bias: bool  # Whether the projection of patches has a bias.
  method: str  # Interpolation of the position embeddings.
  registers: int = 0  # See `Backbone`.
  class_position: bool = True  # See `Backbone`.

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
    shape = (1, self.class_position + old[0] * old[1], self.width)
    table = self.param('positions', normal, shape)
    table = resize_table(table, old, x.shape[1:3], self.method)
    tokens = x.reshape(x.shape[0], -1, self.width)
    if self.class_position:
      token, table = token + table[:, :1], table[:, 1:]
    first = [token]
    if self.registers:
      shape = 1, self.registers, self.width
      first.append(self.param('registers', normal, shape))
    first = [jnp.broadcast_to(t, (len(x), *t.shape[1:])) for t in first]
    return jnp.concatenate([*first, tokens + table], 1)


class Attention(nn.Module):
  """Applies multi-head self-attention to tokens [B, N, width].

  A mask [B, N, N] says which tokens, last axis, each token attends to; None:
  all.
  """

  heads: int

  @nn.compact
  def __call__(self, x, mask=None):
    # One product computes queries, keys and values, [B, N, 3, heads, channels].
    qkv = dense(3 * x.shape[-1], name='qkv')(x)
    qkv = qkv.reshape(*x.shape[:2], 3, self.heads, -1)
    x = jax.nn.dot_product_attention(
        qkv[:, :, 0],
        qkv[:, :, 1],
        qkv[:, :, 2],
        mask=None if mask is None else mask[:, None],
    )
    return dense(qkv.shape[-1] * self.heads, name='out')(
        x.reshape(*x.shape[:2], -1)
    )


class Block(nn.Module):
  """Adds attention and then an MLP to the tokens, each after a norm."""

  heads: int
  expansion: int = 4  # See `Backbone`, as for the following ones.
  layer_scale: float = 0.0
  gated: bool = False
  epsilon: float = 1e-6

  @remat.block
  @nn.compact
  def __call__(self, x, mask=None):
    width = x.shape[-1]
    y = layer_norm('norm1', epsilon=self.epsilon)(x)
    y = Attention(self.heads, name='attention')(y, mask)
    if self.layer_scale:
      y = LayerScale(self.layer_scale, name='scale1')(y)
    x += y
    y = layer_norm('norm2', epsilon=self.epsilon)(x)
    if self.gated:
      # Two thirds of the channels, rounded up to a multiple of 8.
      inner = (self.expansion * width * 2 // 3 + 7) // 8 * 8
      gate, y = jnp.split(dense(2 * inner, name='expand')(y), 2, -1)
      y *= nn.silu(gate)
    else:
      y = dense(self.expansion * width, name='expand')(y)
      y = nn.gelu(y, approximate=False)
    y = dense(width, name='reduce')(y)
    if self.layer_scale:
      y = LayerScale(self.layer_scale, name='scale2')(y)
    return x + y


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
  norm_taps: bool = False  # Whether it is applied to all blocks to return.
  # Whether the class token is returned beside each, 'class3' [B, width].
  class_taps: bool = False
  # Tokens between class token and patches that are learnt, and whether the
  # class token has a position: https://arxiv.org/abs/2309.16588.
  registers: int = 0
  class_position: bool = True
  expansion: int = 4  # Channels within an MLP, by those of a token.
  # What the factors of each branch begin with that are learnt for each channel,
  # https://arxiv.org/abs/2103.17239; 0.0 has none.
  layer_scale: float = 0.0
  # Whether an MLP multiplies by gates, of two thirds of the channels:
  # https://arxiv.org/abs/2002.05202.
  gated: bool = False
  epsilon: float = 1e-6  # Added by norms to the variance.
  # Changes tokens before a block: `before(i, tokens, norm)` returns what block
  # i reads, and a mask for its attention or None; `norm` is the final norm. It
  # is called after the last block, too, with i = depth. EoMT's queries enter
  # there. The patches have to stay the last tokens.
  before: (
      Callable[[int, jax.Array, Callable], tuple[jax.Array, jax.Array | None]]
      | None
  ) = None
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.

  @property
  def levels(self):
    """Names of the levels that the backbone returns."""
    return tuple(f'block{i}' for i in self.taps or (self.depth - 1,))

  @property
  def layer_names(self):
    """Names of parameters by layer: the embedding, and each block."""
    return ('embed/', *(f'block{i}/' for i in range(self.depth)))

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
        self.registers,
        self.class_position,
        name='embed',
    )(image)
    grid = [-(-side // self.patch) for side in image.shape[1:3]]
    if not self.class_token:
      x = x[:, 1:]
    norm = _unchanged
    if self.final_norm:
      norm = layer_norm('norm', epsilon=self.epsilon)
    last, feats = self.depth - 1, {}
    for i in range(self.depth):
      mask = None
      if self.before:
        x, mask = self.before(i, x, norm)
      x = Block(
          self.heads,
          self.expansion,
          self.layer_scale,
          self.gated,
          self.epsilon,
          name=f'block{i}',
      )(x, mask)
      if i == last:
        if self.before:
          x, _ = self.before(self.depth, x, norm)
        x = norm(x)
      if i in taps:
        tap = norm(x) if self.norm_taps and i < last else x
        patches = tap[:, -grid[0] * grid[1] :]
        feats[f'block{i}'] = patches.reshape(-1, *grid, self.width)
        if self.class_taps:
          feats[f'class{i}'] = tap[:, 0]
    if self.num_classes:
      token = x[:, 0] if self.class_token else x.mean(1)
      feats['class_logits'] = dense(self.num_classes, name='classifier')(token)
    return feats


def _unchanged(x):
  return x


SIZES = {
    'tiny': dict(width=192, depth=12, heads=3),
    'small': dict(width=384, depth=12, heads=6),
    'base': dict(width=768, depth=12, heads=12),
    'large': dict(width=1024, depth=24, heads=16),
}
DINOV2 = dict(patch=14, image_size=(518, 518), layer_scale=1e-5)
VARIANTS = {
    **SIZES,
    **{
        f'{name}_384': {**fields, 'image_size': (384, 384)}
        for name, fields in SIZES.items()
    },
    **{
        f'dinov2_{name}': {**fields, **DINOV2}
        for name, fields in SIZES.items()
        if name != 'tiny'
    },
    'dinov2_giant': dict(width=1536, depth=40, heads=24, gated=True, **DINOV2),
}
