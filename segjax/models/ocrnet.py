"""OCRNet, https://arxiv.org/abs/1909.11065.

A coarse segmentation averages features into one object region for each class;
each pixel then attends to the regions, and what it gathers is joined to its own
features. The defaults are the authors' on HRNet, HRNet-Semantic-Segmentation,
branch HRNet-OCR. mmsegmentation 1.2.2 has `bias=False, align_corners=False,
dropout=0.0` on 'hrnet/w48(resize_twice=True)', and `dropout=0.1` instead on
'resnet/101_v1c(output_stride=8)'. Checked against both, on HRNet.
"""

import functools

from flax import linen as nn

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import FCNHead
from segjax.layers.head import segmentation_outputs
from segjax.layers.levels import join_levels
from segjax.layers.object_context import ObjectContext
from segjax.ops.resize import resize

BRANCHES = ('c2', 'c3', 'c4', 'c5')


class Model(nn.Module):
  """Backbone, coarse scores, object context, bilinear upsampling.

  The branches of an HRNet are joined at stride 4, and both coarse scores and
  object context begin there. Of another backbone they begin at its levels 'c4'
  and 'c5'. The coarse scores are the auxiliary output 'objects'.
  """

  num_classes: int
  backbone: str = 'hrnet/w48'
  features: int = 512
  key_features: int = 256
  # Biases of the first convolutions of coarse scores and of object context.
  bias: bool = True
  align_corners: bool = True
  # Drops whole channels in front of the classifier; without an HRNet also
  # features in front of the coarse scores.
  dropout: float = 0.05

  @nn.compact
  def __call__(self, image, *, train=False):
    size = image.shape[1:3]
    if self.backbone.startswith('hrnet/'):
      feats = backbones.build(
          self.backbone,
          BRANCHES,
          align_corners=self.align_corners,
          name='backbone',
      )(image, train)
      x = join_levels(feats, BRANCHES, align_corners=self.align_corners)
      coarse = FCNHead(
          self.num_classes,
          dropout=0.0,
          features=x.shape[-1],
          conv=functools.partial(ConvNormAct, kernel=1, bias=self.bias),
          name='coarse',
      )(x, train)
    else:
      feats = backbones.build(self.backbone, ('c4', 'c5'), name='backbone')(
          image, train
      )
      x = feats['c5']
      coarse = FCNHead(
          self.num_classes,
          self.dropout,
          conv=functools.partial(ConvNormAct, bias=self.bias),
          name='coarse',
      )(feats['c4'], train)
    scores = resize(coarse, x.shape[1:3], align_corners=self.align_corners)
    x = ObjectContext(
        self.features, self.key_features, self.bias, name='context'
    )(x, scores, train)
    x = nn.Dropout(self.dropout, broadcast_dims=(1, 2))(
        x, deterministic=not train
    )
    outputs = segmentation_outputs(
        x, self.num_classes, size, train, align_corners=self.align_corners
    )
    coarse = resize(coarse, size, align_corners=self.align_corners)
    return {**outputs, 'aux': {'objects': coarse}}
