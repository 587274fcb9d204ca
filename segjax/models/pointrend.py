"""PointRend on Semantic FPN, https://arxiv.org/abs/1912.08193.

Segmentation as rendering: the logits of Semantic FPN are enlarged in steps, and
after each step a head scores the most uncertain pixels anew; it is that of
`segjax/layers/point_head.py`, which other systems take by a field. Checked
against mmsegmentation 1.2.2, the default, and, head and choice of points,
against the authors' code in detectron2, which has `subdivision_points=8192`
and, on Semantic FPN, `coarse_every_layer=False`.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers import norm as norms
from segjax.layers.fpn import FPN
from segjax.layers.fpn import sum_levels
from segjax.layers.head import classifier
from segjax.layers.point_head import PointHead
from segjax.ops import points


class Model(nn.Module):
  """Semantic FPN to stride 4, and a head that scores single points anew."""

  num_classes: int
  backbone: str = 'resnet/50_v1c'
  pyramid_features: int = 256
  features: int = 128
  group_norm: bool = False  # In the branches; else batch norm.
  point_features: int = 256
  coarse_every_layer: bool = True  # See `PointHead`.
  train_points: int = 2048  # Of each image.
  oversampling: int = 3  # Candidates that are drawn for each of them.
  importance: float = 0.75  # Share of them that uncertainty chooses.
  subdivision_points: int = 8196  # Of each image, after each step.

  @nn.compact
  def __call__(self, image, *, train=False):
    coarse, fine, head = self.parts(image, train)
    return {'aux': {}, **head.outputs(fine, coarse, image.shape[1:3], train)}

  def parts(self, image, train):
    """Returns coarse logits, features of points, and the head that has both."""
    levels = ('c2', 'c3', 'c4', 'c5')
    feats = backbones.build(self.backbone, levels, name='backbone')(
        image, train
    )
    pyramid = FPN(self.pyramid_features, name='fpn')(
        {level: feats[level] for level in levels}, train
    )
    norm = norms.group_norm if self.group_norm else norms.BatchNorm
    x = sum_levels(pyramid, self.features, norm, train)
    coarse = classifier(self.num_classes)(x)
    head = PointHead(
        self.num_classes,
        self.point_features,
        self.coarse_every_layer,
        self.train_points,
        self.oversampling,
        self.importance,
        self.subdivision_points,
        name='points',
    )
    return coarse, pyramid['c2'], head


# That of the task, and the same at the points.
loss = points.loss
