"""DDRNet, https://arxiv.org/abs/2101.06085.

Two branches behind one stem: one keeps details at stride 8, the other goes down
to stride 64 for context. They exchange features twice, and a pyramid of pooled
features (DAPPM) ends the branch of context. The defaults are DDRNet-23-slim;
DDRNet-23 has `width=64, head_features=128`. As mmsegmentation 1.2.2 builds it,
against which it was checked; sides that are no multiples of 8, which that code
refuses, are rounded up.
"""

from flax import linen as nn

from segjax.backbones.resnet import OpenGroup
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import NormActConvNormAct
from segjax.layers.head import FCNHead
from segjax.layers.pooled_pyramid import PooledPyramid
from segjax.ops.resize import resize


class Exchange(nn.Module):
  """Adds details to context and context to details (bilateral fusion).

  Both read what the other was before. Details become smaller by one strided
  convolution for each width of `down`, and ReLU lies between these.
  """

  down: tuple[int, ...]  # Channels of the strided convolutions.

  @nn.compact
  def __call__(self, detail, context, train):
    up = ConvNormAct(detail.shape[-1], kernel=1, act=None, name='up')(
        nn.relu(context), train
    )
    y = detail
    for i, width in enumerate(self.down, 1):
      y = ConvNormAct(width, stride=2, act=None, name=f'down{i}')(
          nn.relu(y), train
      )
    return detail + resize(up, detail.shape[1:3]), context + y


class Model(nn.Module):
  """Stem, two branches with two exchanges, pyramid, and head at stride 8."""

  num_classes: int
  width: int = 32  # Channels of the stem.
  pyramid_features: int = 128  # Of a scale of the pyramid.
  head_features: int = 64
  dropout: float = 0.0
  aux_head: bool = True  # On the details after the first exchange.

  @nn.compact
  def __call__(self, image, *, train=False):
    width = self.width
    x = ConvNormAct(width, stride=2, name='stem1')(image, train)
    x = ConvNormAct(width, stride=2, name='stem2')(x, train)
    x = nn.relu(OpenGroup(width, 2, name='stem3')(x, train))
    x = nn.relu(OpenGroup(2 * width, 2, stride=2, name='stem4')(x, train))

    context = OpenGroup(4 * width, 2, stride=2, name='context3')(x, train)
    detail = OpenGroup(2 * width, 2, name='detail3')(x, train)
    detail, context = Exchange((4 * width,), name='exchange3')(
        detail, context, train
    )
    first_detail = detail
    context = OpenGroup(8 * width, 2, stride=2, name='context4')(
        nn.relu(context), train
    )
    detail = OpenGroup(2 * width, 2, name='detail4')(nn.relu(detail), train)
    detail, context = Exchange((4 * width, 8 * width), name='exchange4')(
        detail, context, train
    )
    context = OpenGroup(8 * width, stride=2, bottleneck=True, name='context5')(
        nn.relu(context), train
    )
    detail = OpenGroup(2 * width, bottleneck=True, name='detail5')(
        nn.relu(detail), train
    )
    context = PooledPyramid(self.pyramid_features, 4 * width, name='pyramid')(
        context, train
    )
    x = detail + resize(context, detail.shape[1:3])

    outputs = {'logits': self._head('head', x, image, train), 'aux': {}}
    if self.aux_head:
      logits = self._head('aux_detail', first_detail, image, train)
      outputs['aux']['detail'] = logits
    return outputs

  def _head(self, name, x, image, train):
    """Returns logits at the size of the image."""
    head = FCNHead(
        self.num_classes,
        self.dropout,
        self.head_features,
        NormActConvNormAct,
        name=name,
    )
    return resize(head(x, train), image.shape[1:3])
