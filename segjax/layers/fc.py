"""The hidden layers that AlexNet and VGG have between features and classes."""

from flax import linen as nn


class FullyConnected(nn.Module):
  """Two linear layers over all features at once, each with ReLU and dropout.

  Very deep convolutional networks, https://arxiv.org/abs/1409.1556, table 1.
  Features are read channels first, as Caffe and PyTorch write them in a row.
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
