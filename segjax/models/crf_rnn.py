"""CRF-RNN, https://arxiv.org/abs/1502.03240.

A dense CRF follows an FCN-8s, and both are trained together: mean-field
iterations are a recurrent network (figure 2). The network is that of
sadeepj/crfasrnn_pytorch, whose first upsampling has a bias, unlike FCN's. The
CRF layer was checked against it, with its filters replaced by exact sums over
all pairs.

The CRF compares the colours of the network's input times `image_std`, the
divisor of `normalize`, so that its widths are in colours from 0 to 255. The
mean that was subtracted and the order of channels do not matter.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.backbones import vgg
from segjax.layers.crf_rnn import CRFRNN
from segjax.layers.skip import SkipHead


class Model(nn.Module):
  """FCN-8s and mean-field inference with its scores as unaries."""

  num_classes: int
  backbone: str = 'vgg/16'
  dropout: float = 0.5
  upsampling: str = 'transposed'  # Of scores, see `layers.upsample`.
  train_iterations: int = 5  # Mean-field iterations in training.
  iterations: int = 10  # Mean-field iterations in evaluation.
  # See `CRFRNN`.
  widths: tuple[float, float, float] = (160.0, 3.0, 3.0)
  image_std: float | tuple[float, ...] = 1.0

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        SkipHead.reads,
        **vgg.FCN,
        dropout=self.dropout,
        name='backbone',
    )(image, train)
    head = SkipHead(
        self.num_classes,
        first_bias=True,
        upsampling=self.upsampling,
        name='head',
    )
    unary = head(feats, image.shape[1:3])
    crf = CRFRNN(
        self.train_iterations if train else self.iterations,
        self.widths,
        name='crf',
    )
    colors = image * jnp.asarray(self.image_std, image.dtype)
    return {'logits': crf(unary, colors), 'aux': {}}
