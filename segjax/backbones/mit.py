"""Mix Transformer (MiT), the backbone of SegFormer.

https://arxiv.org/abs/2105.15203, section 3.1. Overlapping patches lead from
stage to stage, attention reads keys and values from a reduced map, and a
depthwise convolution in each MLP tells positions apart, so that there are no
position embeddings and images may have any size from 29x29 on.

Checked against mmsegmentation 1.2.2, whose norms all have an epsilon of 1e-6.
The authors' code has 1e-5 for those of patches and of reduced maps,
`reduced_epsilon=1e-5`.
"""

from flax import linen as nn
import numpy as np

from segjax.backbones.vit import dense
from segjax.layers import remat
from segjax.layers.conv import conv
from segjax.layers.dropout import drop_path
from segjax.layers.norm import layer_norm
from segjax.ops.attention import attention


class Attention(nn.Module):
  """Applies multi-head attention from a map [B, H, W, C] to a reduced one."""

  heads: int
  reduction: int  # Factor by which the map of keys and values is smaller.
  epsilon: float

  @nn.compact
  def __call__(self, x):
    channels = x.shape[-1]
    source = x
    if self.reduction > 1:
      if min(x.shape[1:3]) < self.reduction:
        raise ValueError(
            f'A map of {x.shape[1]} x {x.shape[2]} is too small to be reduced'
            f' by {self.reduction}: a MiT takes images of 29x29 pixels at'
            ' least. Take larger crops, or pad with config.predict.pad_to=32.'
        )
      source = conv(
          channels,
          self.reduction,
          stride=self.reduction,
          padding=0,
          bias=True,
          name='reduced',
      )(x)
      norm = layer_norm('reduced_norm', epsilon=self.epsilon)
      source = norm(source)
    y = attention(
        self._split(dense(channels, name='query')(x)),
        self._split(dense(channels, name='key')(source)),
        self._split(dense(channels, name='value')(source)),
        scale=(channels // self.heads) ** -0.5,
    )
    y = y.reshape(len(x), self.heads, -1, channels // self.heads)
    return dense(channels, name='out')(y.swapaxes(1, 2).reshape(x.shape))

  def _split(self, x):
    """Returns positions of each head: [B * heads, H * W, C / heads]."""
    batch, height, width, channels = x.shape
    size = channels // self.heads
    x = x.reshape(batch, height * width, self.heads, size).swapaxes(1, 2)
    return x.reshape(batch * self.heads, height * width, size)


class MixMLP(nn.Module):
  """Applies an MLP with a depthwise 3x3 convolution before its activation."""

  ratio: int  # Width of the hidden layer, in widths of the input.

  @nn.compact
  def __call__(self, x):
    hidden = self.ratio * x.shape[-1]
    y = dense(hidden, name='expand')(x)
    y = conv(hidden, groups=hidden, bias=True, name='depthwise')(y)
    return dense(x.shape[-1], name='reduce')(nn.gelu(y, approximate=False))


class Block(nn.Module):
  """Adds attention and then a `MixMLP` to a map, each after a norm."""

  heads: int
  reduction: int
  ratio: int
  drop_path: float  # Probability that an image skips a branch in training.
  epsilon: float
  reduced_epsilon: float

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    for i, branch in enumerate(
        (
            Attention(
                self.heads,
                self.reduction,
                self.reduced_epsilon,
                name='attention',
            ),
            MixMLP(self.ratio, name='mlp'),
        ),
        1,
    ):
      y = branch(layer_norm(f'norm{i}', epsilon=self.epsilon)(x))
      x += drop_path(self.drop_path, train)(y)
    return x


class Backbone(nn.Module):
  """Four stages of overlapping patches, transformer blocks and a norm.

  'c2' to 'c5' are the outputs of the stages, at strides 4, 8, 16 and 32.
  """

  widths: tuple[int, ...]  # Channels of the stages.
  depths: tuple[int, ...]  # Blocks of the stages.
  heads: tuple[int, ...] = (1, 2, 5, 8)  # Attention heads of the stages.
  reductions: tuple[int, ...] = (8, 4, 2, 1)  # See `Attention`, by stage.
  ratio: int = 4  # See `MixMLP`.
  # Probability that an image skips a branch of the last block in training. It
  # grows linearly from 0 in the first block.
  drop_path: float = 0.1
  epsilon: float = 1e-6
  reduced_epsilon: float = 1e-6  # Of the norms of patches and reduced maps.
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.

  levels = ('c2', 'c3', 'c4', 'c5')

  @nn.compact
  def __call__(self, image, train=False):
    x, feats = image, {}
    rates = iter(np.linspace(0, self.drop_path, sum(self.depths)).tolist())
    for i, (width, depth) in enumerate(
        zip(self.widths, self.depths, strict=True)
    ):
      x = conv(
          width,
          3 if i else 7,
          stride=2 if i else 4,
          bias=True,
          name=f'patches{i + 1}',
      )(x)
      norm = layer_norm(f'patches{i + 1}_norm', epsilon=self.reduced_epsilon)
      x = norm(x)
      for j in range(depth):
        x = Block(
            self.heads[i],
            self.reductions[i],
            self.ratio,
            next(rates),
            self.epsilon,
            self.reduced_epsilon,
            name=f'stage{i + 1}_{j}',
        )(x, train)
      x = layer_norm(f'norm{i + 1}', epsilon=self.epsilon)(x)
      feats[f'c{i + 2}'] = x
    if self.num_classes:
      mean = x.mean((1, 2))
      feats['class_logits'] = dense(self.num_classes, name='classifier')(mean)
    return feats


WIDE = (64, 128, 320, 512)
VARIANTS = {
    'tiny': dict(
        widths=(8, 16, 32, 64), depths=(1, 1, 1, 1), heads=(1, 1, 2, 4)
    ),
    'b0': dict(widths=(32, 64, 160, 256), depths=(2, 2, 2, 2)),
    'b1': dict(widths=WIDE, depths=(2, 2, 2, 2)),
    'b2': dict(widths=WIDE, depths=(3, 4, 6, 3)),
    'b3': dict(widths=WIDE, depths=(3, 4, 18, 3)),
    'b4': dict(widths=WIDE, depths=(3, 8, 27, 3)),
    'b5': dict(widths=WIDE, depths=(3, 6, 40, 3)),
}
