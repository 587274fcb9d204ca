"""HRNet with its head for segmentation, https://arxiv.org/abs/1908.07919.

The backbone's branches at four resolutions are enlarged to the highest,
concatenated and classified (figure 4b). The defaults are the authors'
HRNet-Semantic-Segmentation, branch pytorch-v1.1; mmsegmentation 1.2.2 has
`fuse_bias=False` on 'hrnet/w48(resize_twice=True)'. Checked against both.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import segmentation_outputs
from segjax.ops.resize import resize

LEVELS = ('c2', 'c3', 'c4', 'c5')


def join(feats, align_corners=False):
  """Concatenates the branches, enlarged to the highest resolution."""
  size = feats['c2'].shape[1:3]
  branches = [
      resize(feats[level], size, align_corners=align_corners)
      for level in LEVELS
  ]
  return jnp.concatenate(branches, -1)


class Model(nn.Module):
  """HRNet, a 1x1 convolution over all branches, bilinear upsampling."""

  num_classes: int
  backbone: str = 'hrnet/w48'
  align_corners: bool = False
  fuse_bias: bool = True  # Bias of the 1x1 convolution.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        LEVELS,
        align_corners=self.align_corners,
        name='backbone',
    )(image, train)
    x = join(feats, self.align_corners)
    x = ConvNormAct(x.shape[-1], kernel=1, bias=self.fuse_bias, name='fuse')(
        x, train
    )
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        align_corners=self.align_corners,
    )
