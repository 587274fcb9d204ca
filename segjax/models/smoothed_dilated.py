"""Smoothed dilated convolutions, https://arxiv.org/abs/1808.08931.

A dilated convolution keeps interleaved grids of pixels apart, and leaves a
pattern of them. Two cures that cost few weights, in all dilated 3x3
convolutions of a backbone: 'interaction' mixes the grids of the output, and
'separable' smooths the input by one small filter for all channels. At
initialisation both are exactly a dilated convolution, so weights of a plain
network fit. The network is DeepLabv2's at a single scale, as the authors' code
(divelab/dilated) has it; `smoothing=''` in the backbone's string is theirs
without a cure. Checked against a PyTorch network built after it. Their loss is
that of scores at stride 8, which here are enlarged to the image.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.aspp import AtrousClassifiers
from segjax.ops.resize import resize


class Model(nn.Module):
  """Backbone with smoothed dilation, sum of dilated classifiers."""

  num_classes: int
  backbone: str = "resnet/101_tf(output_stride=8, smoothing='interaction')"
  rates: tuple[int, ...] = (6, 12, 18, 24)

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(self.backbone, ('c5',), name='backbone')(
        image, train
    )
    scores = AtrousClassifiers(self.num_classes, self.rates, name='aspp')(
        feats['c5']
    )
    return {'logits': resize(scores, image.shape[1:3]), 'aux': {}}
