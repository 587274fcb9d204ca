"""CaffeNet, https://github.com/BVLC/caffe/tree/master/models.

AlexNet, https://papers.nips.cc/paper/4824, with pooling before local response
normalisation instead of after it. Checked as part of SDS, which has two of it.
"""

from flax import linen as nn

from segjax.layers.conv import conv
from segjax.layers.fc import FullyConnected
from segjax.ops.lrn import local_response_norm
from segjax.ops.pool import max_pool


def pool(x):
  """Applies 3x3 max pooling with stride 2; sizes round up, as in Caffe."""
  padding = tuple((0, (side - 3) % 2) for side in x.shape[1:3])
  return max_pool(x, (3, 3), (2, 2), padding)


class Backbone(nn.Module):
  """Five convolutions and two fully connected layers, for images of one size.

  'c2' is the first convolution, at stride 4; 'c3' and 'c4' are the first two
  pools after normalisation; 'c5' is the last pool. 'fc7', [B, hidden], is the
  output of the fully connected layers, which read all positions of 'c5': 6x6
  for an image of 227x227.
  """

  widths: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256)
  hidden: int = 4096  # Features of the fully connected layers.
  dropout: float = 0.5

  levels = ('c2', 'c3', 'c4', 'c5', 'fc7')

  @nn.compact
  def __call__(self, image, train=False):
    def layer(i, x, kernel, **fields):
      features = self.widths[i - 1]
      return nn.relu(
          conv(features, kernel, bias=True, name=f'conv{i}', **fields)(x)
      )

    feats = {'c2': layer(1, image, 11, stride=4, padding=0)}
    feats['c3'] = local_response_norm(pool(feats['c2']))
    x = layer(2, feats['c3'], 5, groups=2)
    feats['c4'] = local_response_norm(pool(x))
    x = layer(3, feats['c4'], 3)
    x = layer(4, x, 3, groups=2)
    x = layer(5, x, 3, groups=2)
    feats['c5'] = pool(x)
    hidden = FullyConnected(self.hidden, self.dropout, name='hidden')
    feats['fc7'] = hidden(feats['c5'], train)
    return feats


VARIANTS = {
    'tiny': dict(widths=(16, 32, 32, 32, 32), hidden=64),
    'reference': {},
}
