"""ICNet, https://arxiv.org/abs/1704.08545.

A cascade of three images: a deep network sees a quarter of the size, the first
half of it and a light branch see half and all of it, and cascade feature fusion
joins them from coarse to fine (figures 2 and 3). Each fusion is guided by a
head of its own in training. As mmsegmentation 1.2.2 builds it; the network of
the authors' prototxt (hszhao/ICNet), of half the width after pruning, has the
fields `authors=True` and 'resnet/50_icnet(output_stride=8)'. It branches off
earlier, adds up its pyramid and enlarges features before the last classifier.
Checked against both. The authors also compare the last scores with labels at a
quarter of the size, where they are compared at the size of the image here.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import FCNHead
from segjax.layers.head import classifier
from segjax.layers.psp import PyramidPooling
from segjax.ops.resize import rescale
from segjax.ops.resize import resize

BINS = (1, 2, 3, 6)  # Rows and columns of the grids of the pyramid.


class CascadeFusion(nn.Module):
  """Adds coarse features to fine ones; figure 3."""

  features: int
  authors: bool = False  # See `Model`.

  @nn.compact
  def __call__(self, coarse, fine, train):
    """Returns the sum, and what is guided: the coarse features, enlarged."""
    size = fine.shape[1:3]
    enlarged = resize(coarse, size, align_corners=self.authors)
    act = None if self.authors else nn.relu
    coarse = ConvNormAct(self.features, dilation=2, act=act, name='coarse')(
        enlarged, train
    )
    fine = ConvNormAct(self.features, kernel=1, act=act, name='fine')(
        fine, train
    )
    return nn.relu(coarse + fine), enlarged if self.authors else coarse


class Model(nn.Module):
  """Deep, middle and light branch, two fusions, classifier, upsampling."""

  num_classes: int
  backbone: str = 'resnet/50_v1c(output_stride=8, ceil_pool=True)'
  authors: bool = False  # The network of the authors, see above.
  light: tuple[int, int, int] = (32, 32, 64)  # Of the light branch.
  pyramid_features: int = 512  # Of mmsegmentation's pyramid.
  deep_features: int = 256  # Of what the deep branch gives to the fusion.
  features: int = 128  # Of the fusions.
  guides: bool = True  # Whether fusions have heads that guide them.
  dropout: float = 0.1  # In these heads.

  @nn.compact
  def __call__(self, image, *, train=False):
    fine = image
    for i, width in enumerate(self.light, 1):
      fine = ConvNormAct(width, stride=2, name=f'light{i}')(fine, train)
    middle, deep = self.deep_branches(image, train)
    x, guide16 = CascadeFusion(self.features, self.authors, name='fuse_middle')(
        deep, middle, train
    )
    x, guide8 = CascadeFusion(self.features, self.authors, name='fuse_light')(
        x, fine, train
    )
    if self.authors:
      twice = tuple(2 * side - 1 for side in x.shape[1:3])
      x = resize(x, twice, align_corners=True)
    else:
      x = ConvNormAct(self.features, name='head')(x, train)
    logits = classifier(self.num_classes)(x)
    aux = {}
    if self.guides:
      aux = {'stride16': guide16, 'stride8': guide8}
      aux = {
          name: self.guide(name, features, image.shape[1:3], train)
          for name, features in aux.items()
      }
    return {
        'logits': resize(logits, image.shape[1:3], align_corners=self.authors),
        'aux': aux,
    }

  def guide(self, name, x, size, train):
    """Returns scores of a head; the authors' stay on their grid."""
    if self.authors:
      return classifier(self.num_classes, name=f'aux_{name}')(x)
    head = FCNHead(
        self.num_classes, self.dropout, self.features, name=f'aux_{name}'
    )
    return resize(head(x, train), size)

  def deep_branches(self, image, train):
    """Returns features at strides 16 and 32 of one backbone."""
    level = 'c3_first' if self.authors else 'c3'
    middle = None

    def branch(name, x):
      nonlocal middle
      if name != level:
        return x
      middle = x
      return self.halve(x)

    x = backbones.build(self.backbone, ('c5',), after=branch, name='backbone')(
        self.halve(image), train
    )['c5']
    if self.authors:
      x += sum(_grid_means(x, bins) for bins in BINS)
    else:
      middle = ConvNormAct(self.deep_features, kernel=1, name='middle')(
          middle, train
      )
      # The weights of mmsegmentation have the pyramid before its input.
      y = PyramidPooling(self.pyramid_features, BINS, name='pyramid')(x, train)
      y = jnp.roll(y, -x.shape[-1], -1)
      x = ConvNormAct(self.pyramid_features, name='fuse_pyramid')(y, train)
    x = ConvNormAct(self.deep_features, kernel=1, name='deep')(x, train)
    return middle, x

  def halve(self, x):
    """Returns an image or features at half the size."""
    if not self.authors:
      return rescale(x, 0.5)
    size = tuple((side - 1) // 2 + 1 for side in x.shape[1:3])
    return resize(x, size, align_corners=True)


def _grid_means(x: jax.Array, bins: int) -> jax.Array:
  """Averages over a grid of `bins` x `bins` windows, and enlarges the means.

  Windows begin where the authors' do in maps that are twice as wide as high, as
  theirs are: at strides twice as wide as high.
  """
  rows, columns = x.shape[1:3]
  down = (rows - 1) // bins
  right = 2 * down if columns - 1 == 2 * (rows - 1) else (columns - 1) // bins
  window = rows - down * (bins - 1), columns - right * (bins - 1)
  # A map of fewer pixels than the grid has a window that is all of it.
  means = nn.avg_pool(
      x.astype(jnp.float32), window, (max(down, 1), max(right, 1))
  )
  return resize(means.astype(x.dtype), (rows, columns), align_corners=True)
