"""The hidden fully connected layers of AlexNet and VGG."""

from flax import linen as nn


class FullyConnected(nn.Module):
  """Applies two linear layers with ReLU and dropout to whole feature maps.

  VGG, https://arxiv.org/abs/1409.1556, table 1. Maps [B, H, W, C] are flattened
  with channels first, the order of weights trained in Caffe and PyTorch.
  """

  features: int = 4096
  dropout: float = 0.5

  @nn.compact
  def __call__(self, x, train):
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    for name in ('fc6', 'fc7'):
      x = nn.relu(nn.Dense(self.features, name=name)(x))
      x = nn.Dropout(self.dropout)(x, deterministic=not train)
    return x
