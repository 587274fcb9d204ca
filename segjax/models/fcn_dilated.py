"""What today's libraries call FCN, after https://arxiv.org/abs/1411.4038.

A dilated ResNet, a 3x3 convolution and a classifier, as torchvision 0.28
builds it; the network of the paper, a VGG with skips, is `fcn`. That of
mmsegmentation 1.2.2 has another stem and more convolutions:
`backbone='resnet/50_v1c', head_convs=2, head_concat=True`, and its D6
`output_stride=16, head_dilation=6` besides. Checked against both.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import FCNHead
from segjax.layers.head import auxiliary
from segjax.layers.head import classifier
from segjax.ops.resize import resize


class Model(nn.Module):
  """Dilated backbone, 3x3 convolutions, bilinear upsampling."""

  num_classes: int
  backbone: str = 'resnet/50'
  output_stride: int = 8
  head_convs: int = 1
  head_dilation: int = 1
  head_concat: bool = False  # Joins their result with the features before.
  dropout: float = 0.1
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone, output_stride=self.output_stride, name='backbone'
    )(image, train)
    x = feats['c5']
    features = x.shape[-1] // 4
    for i in range(1, self.head_convs + 1):
      x = ConvNormAct(features, dilation=self.head_dilation, name=f'conv{i}')(
          x, train
      )
    if self.head_concat:
      x = jnp.concatenate([feats['c5'], x], -1)
      x = ConvNormAct(features, name='fuse')(x, train)
    x = nn.Dropout(self.dropout)(x, deterministic=not train)
    logits = classifier(self.num_classes)(x)
    size = image.shape[1:3]
    head = FCNHead(self.num_classes, self.dropout, name='aux')
    aux = auxiliary(head, feats, self.aux_level, size, train)
    return {'logits': resize(logits, size), 'aux': aux}
