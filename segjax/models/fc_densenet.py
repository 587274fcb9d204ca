"""FC-DenseNet, "The One Hundred Layers Tiramisu".

https://arxiv.org/abs/1611.09326. Dense blocks, whose layers read the outputs of
all layers before them, form a U-Net. On the way up only the new features of a
block are enlarged, else their number would explode (figure 1); the skip brings
back what the block on the way down has kept.

The authors' code (SimJeg/FC-DenseNet) drops single values, adds 1e-4 to
variances, and never updates running statistics: it normalises by those of the
batch in evaluation as well, `batch_at_test=True`. Here running statistics are
used, so that a score does not depend on the other images. The PyTorch port
bfortuner/pytorch_tiramisu, against which it was checked, has `epsilon=1e-5,
drop_channels=True`; its 'FCDenseNet57' is the '56' of the paper.
"""

from collections.abc import Callable
import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import conv
from segjax.layers.norm import BatchNorm
from segjax.layers.upsample import upsample
from segjax.ops.pool import max_pool

he_uniform = nn.initializers.he_uniform()

# Channels of the first convolution, channels that a layer adds, and numbers of
# layers of the blocks down to the bottleneck; the way up mirrors them. Table 2
# of the paper has the last one.
VARIANTS = {
    'tiny': (16, 8, (2, 2, 2, 2)),
    '56': (48, 12, (4, 4, 4, 4, 4, 4)),
    '67': (48, 16, (5, 5, 5, 5, 5, 5)),
    '103': (48, 16, (4, 5, 7, 10, 12, 15)),
}


class Layer(nn.Module):
  """Applies norm, ReLU, convolution and dropout; table 1."""

  features: int
  kernel: int
  norm: Callable[..., nn.Module]
  dropout: float
  drop_channels: bool  # Drops whole channels instead of single values.

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    x = nn.relu(self.norm(train, name='norm')(x))
    x = conv(
        self.features, self.kernel, bias=True, init=he_uniform, name='conv'
    )(x)
    same = (1, 2) if self.drop_channels else ()
    return nn.Dropout(self.dropout, same)(x, deterministic=not train)


class DenseBlock(nn.Module):
  """Applies layers that read the input and the outputs of all before them."""

  depth: int
  layer: Callable[..., nn.Module]

  @nn.compact
  def __call__(self, x, train):
    """Returns the input with all outputs appended, and the outputs alone."""
    channels = x.shape[-1]
    for i in range(self.depth):
      y = self.layer(name=f'layer{i}')(x, train)
      x = jnp.concatenate([x, y], -1)
    return x, x[..., channels:]


class Model(nn.Module):
  """Dense blocks down, a bottleneck, dense blocks up, and a classifier."""

  num_classes: int
  variant: str = '103'  # Key of `VARIANTS`.
  dropout: float = 0.2
  drop_channels: bool = False  # See `Layer`.
  epsilon: float = 1e-4  # Added by norms to the variance.
  batch_at_test: bool = False  # See `BatchNorm`.
  upsampling: str = 'transposed'  # Of the decoder, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    if self.variant not in VARIANTS:
      raise ValueError(
          f'variant={self.variant!r}: FC-DenseNet has {", ".join(VARIANTS)}.'
      )
    width, growth, depths = VARIANTS[self.variant]
    layer = functools.partial(
        Layer,
        norm=functools.partial(
            BatchNorm, epsilon=self.epsilon, batch_at_test=self.batch_at_test
        ),
        dropout=self.dropout,
        drop_channels=self.drop_channels,
    )

    def block(depth, name):
      grow = functools.partial(layer, growth, kernel=3)
      return DenseBlock(depth, grow, name=name)

    x = conv(width, bias=True, init=he_uniform, name='stem')(image)
    skips = []
    for i, depth in enumerate(depths[:-1]):
      x, _ = block(depth, f'down{i}')(x, train)
      skips.append(x)
      x = layer(x.shape[-1], kernel=1, name=f'transition_down{i}')(x, train)
      x = max_pool(x, (2, 2), (2, 2))
    _, new = block(depths[-1], 'bottleneck')(x, train)
    for i, depth in enumerate(reversed(depths[:-1])):
      skip = skips.pop()
      up = upsample(
          self.upsampling,
          new.shape[-1],
          kernel=3,
          bias=True,
          kernel_init=he_uniform,
          name=f'transition_up{i}',
      )(new)
      # It has the size of the skip or one row or column more: n pixels become
      # 2 n + 1, and the skip had 2 n or 2 n + 1.
      up = up[:, : skip.shape[1], : skip.shape[2]]
      x, new = block(depth, f'up{i}')(jnp.concatenate([up, skip], -1), train)
    logits = conv(
        self.num_classes, 1, bias=True, init=he_uniform, name='classifier'
    )(x)
    return {'logits': logits, 'aux': {}}
