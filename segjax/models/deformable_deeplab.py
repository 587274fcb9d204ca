"""Deformable DeepLab, https://arxiv.org/abs/1703.06211.

The 3x3 convolutions of the last stage of a dilated ResNet move each of their
taps by an offset that a convolution of the same features predicts (figure 2),
so that what a position sees follows the objects there. A 1x1 convolution and a
classifier at stride 16 follow, and bilinear upsampling by a fixed transposed
convolution. This is the network of the authors' code in MXNet
(msracver/Deformable-ConvNets), checked against a PyTorch network built after
it. Options of the backbone have version 2,
https://arxiv.org/abs/1811.11168: `deformable=('c3', 'c4', 'c5'),
modulated=True`.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.conv import conv
from segjax.layers.head import classifier
from segjax.layers.skip import crop
from segjax.layers.upsample import upsample_scores

STRIDE = 16  # Of the scores.


class Model(nn.Module):
  """Deformable backbone, two 1x1 convolutions, transposed convolution."""

  num_classes: int
  backbone: str = "resnet/101_msra(deformable=('c5',))"
  features: int = 1024
  upsampling: str = 'transposed'  # Of scores, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone, ('c5',), output_stride=STRIDE, name='backbone'
    )(image, train)
    x = nn.relu(conv(self.features, 1, bias=True, name='reduce')(feats['c5']))
    x = classifier(self.num_classes)(x)
    x = upsample_scores(self.upsampling, STRIDE, mix=False, name='upsample')(x)
    return {'logits': crop(x, STRIDE // 2, image.shape[1:3]), 'aux': {}}
