"""ParseNet, https://arxiv.org/abs/1506.04579.

The mean of the features over the whole image is appended to the features of
each position. Both are L2-normalised first, or the larger values would dominate
(figure 3). The backbone is that of DeepLab-LargeFOV. A port of the released
network does not normalise the local features: `local_norm=False`. Checked
against a network built from the paper and the authors' normalisation layer.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.backbones import vgg
from segjax.layers.head import classifier
from segjax.ops.upsample_aligned import upsample_aligned


class Model(nn.Module):
  """Dilated VGG, and a classifier of its features and their global mean."""

  num_classes: int
  backbone: str = 'vgg/16'
  hidden: int = 1024  # Features of fc6 and fc7.
  local_norm: bool = True  # Whether local features are normalised too.
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
  """Divides feature vectors by their length and multiplies by trained scales.

  Section 3.2 of the paper. Each channel has a scale, initialised to 10 because
  vectors of length 1 train slowly. Zero vectors stay zero.
  """

  @nn.compact
  def __call__(self, x):
    init = nn.initializers.constant(10.0)
    scale = self.param('scale', init, (x.shape[-1],))
    y = x.astype(jnp.float32)  # bfloat16 would sum inexactly.
    y *= jax.lax.rsqrt(jnp.square(y).sum(-1, keepdims=True) + 1e-10)
    return (y * scale).astype(x.dtype)
