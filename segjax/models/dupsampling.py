"""DUpsampling, https://arxiv.org/abs/1903.02120.

A linear map turns each feature vector of a coarse map into the scores of a
whole patch of pixels, where others enlarge bilinearly. It is fitted to patches
of labels beforehand, by `segjax.tools.dupsampling`, and then kept or trained
further. Low-level features are fused at the coarse resolution, and a trained
temperature divides the scores. The authors published no code; it follows
LinZhuoChen/DUpsampling, and was checked against it. That code fits the map by
SGD; the tool computes the minimum of the same error.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.ops.pixel_shuffle import depth_to_space
from segjax.ops.resize import resize


class Model(nn.Module):
  """Dilated backbone, fusion with low-level features, expansion to patches."""

  num_classes: int
  backbone: str = 'resnet/50(output_stride=16, dilate_first=True)'
  factor: int = 16  # Rows and columns of a patch, the stride of the backbone.
  code_features: int = 64  # Of what is expanded to a patch.
  low_features: int = 48
  features: int = 256
  dropout: tuple[float, float] = (0.5, 0.1)  # After the two convolutions.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(self.backbone, ('c1', 'c4', 'c5'), name='backbone')(
        image, train
    )
    x = feats['c5']
    low = resize(feats['c1'], x.shape[1:3], align_corners=True)
    low = jnp.concatenate([low, feats['c4']], -1)
    low = ConvNormAct(self.low_features, kernel=1, name='low')(low, train)
    x = jnp.concatenate([x, low], -1)
    for i, rate in enumerate(self.dropout, 1):
      x = ConvNormAct(self.features, name=f'fuse{i}')(x, train)
      x = nn.Dropout(rate)(x, deterministic=not train)
    x = conv(self.code_features, 1, bias=True, name='encode')(x)
    x = conv(self.factor**2 * self.num_classes, 1, name='expand')(x)
    temperature = self.param('temperature', nn.initializers.ones, ())
    logits = depth_to_space(x, self.factor) / temperature.astype(x.dtype)
    height, width = image.shape[1:3]
    return {'logits': logits[:, :height, :width], 'aux': {}}
