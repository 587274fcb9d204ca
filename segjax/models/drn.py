"""DRN, dilated residual networks, https://arxiv.org/abs/1705.09914.

A backbone that dilates instead of striding, without the gridding that dilation
leaves (`segjax/backbones/drn.py`), is classified at stride 8. Scores are
enlarged by a transposed convolution within each class, which is bilinear
interpolation and stays so: its kernel is a parameter, as in published weights,
that `config.optim.factors` freezes. Checked against the authors' code
(fyu/drn), whose images have sides that are multiples of 8; others are cut here.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.head import classifier
from segjax.layers.upsample import upsample_scores

STRIDE = 8


class Model(nn.Module):
  """Dilated residual network, classifier and upsampling by 8."""

  num_classes: int
  backbone: str = 'drn/d_22'
  upsampling: str = 'transposed'  # Of scores, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone, ('c5',), output_stride=STRIDE, name='backbone'
    )(image, train)
    scores = classifier(self.num_classes)(feats['c5'])
    upsample = upsample_scores(
        self.upsampling,
        STRIDE,
        padding=STRIDE // 2,
        mix=False,
        name='upsample',
    )
    logits = upsample(scores)[:, : image.shape[1], : image.shape[2]]
    return {'logits': logits, 'aux': {}}
