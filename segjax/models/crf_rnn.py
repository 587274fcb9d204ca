"""CRF-RNN, https://arxiv.org/abs/1502.03240.

A dense CRF as the last layers of an FCN-8s, trained through: its mean field is
a recurrent network (figure 2). As sadeepj/crfasrnn_pytorch builds it, which has
a bias in the first upsampling that FCN has not; the layer was checked against
it, with exact sums over all pairs in the place of its filters.

Colours are those of the network's input, times `image_std`: what `normalize`
divided them by, so that widths are in colours of 0 to 255. Its mean and the
order of channels do not matter.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.backbones import vgg
from segjax.layers.crf_rnn import CRFRNN
from segjax.layers.skip import SkipHead


class Model(nn.Module):
  """FCN-8s, and a mean field that begins at its scores."""

  num_classes: int
  backbone: str = 'vgg/16'
  dropout: float = 0.5
  train_iterations: int = 5
  iterations: int = 10  # In evaluation.
  # Of positions and colours of the bilateral kernel, and of the Gaussian.
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
    head = SkipHead(self.num_classes, first_bias=True, name='head')
    unary = head(feats, image.shape[1:3])
    crf = CRFRNN(
        self.train_iterations if train else self.iterations,
        self.widths,
        name='crf',
    )
    colors = image * jnp.asarray(self.image_std, image.dtype)
    return {'logits': crf(unary, colors), 'aux': {}}
