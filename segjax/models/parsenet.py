"""ParseNet, https://arxiv.org/abs/1506.04579.

The mean of the features over the whole image tells each place what the image
is about; both are brought to one length per place, or the larger would drown
the other (figure 3). On DeepLab-LargeFOV. A port after the released network
joins the features as they are: `local_norm=False`. Checked against a network
built of the paper and the authors' normalisation layer.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.backbones import vgg
from segjax.layers.head import classifier
from segjax.ops.upsample_aligned import upsample_aligned


class Model(nn.Module):
  """VGG with holes, features and their mean, a classifier of both."""

  num_classes: int
  backbone: str = 'vgg/16'
  hidden: int = 1024  # Features of fc6 and fc7.
  local_norm: bool = True
  dropout: float = 0.5

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        ('fc7',),
        **vgg.LARGE_FOV,
        hidden=self.hidden,
        dropout=self.dropout,
        name='backbone',
    )(image, train)
    x = feats['fc7']
    mean = L2Norm(name='global_norm')(x.mean((1, 2), keepdims=True))
    mean = jnp.broadcast_to(mean, x.shape)
    if self.local_norm:
      x = L2Norm(name='local_norm')(x)
    scores = classifier(self.num_classes)(jnp.concatenate([x, mean], -1))
    return {'logits': upsample_aligned(scores, 8, image.shape[1:3]), 'aux': {}}


class L2Norm(nn.Module):
  """Features of length 1 at each place, times a scale for each channel.

  Section 3.2. The scale begins at 10: a length of 1 alone learns slowly. Where
  all features are 0 they stay 0.
  """

  @nn.compact
  def __call__(self, x):
    init = nn.initializers.constant(10.0)
    scale = self.param('scale', init, (x.shape[-1],))
    y = x.astype(jnp.float32)  # A sum of a thousand squares.
    y *= jax.lax.rsqrt(jnp.square(y).sum(-1, keepdims=True) + 1e-10)
    return (y * scale).astype(x.dtype)
