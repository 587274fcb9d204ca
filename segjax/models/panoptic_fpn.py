"""Panoptic FPN, https://arxiv.org/abs/1901.02446.

Mask R-CNN on a feature pyramid finds objects, and a light branch on the same
pyramid, that of Semantic FPN, tells the class of each pixel (figure 1). What is
of no object keeps the stuff that the branch sees.

Checked against detectron2, the default: RoIAlign is aligned and takes as many
samples as a bin has pixels, and anchors are not rounded. There, and in the
paper, the branch has one class for all things; with as many classes as the data
set has, it tells things apart, too, and `logits` are a label map. Class 0 of
the detector is no object.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers import norm as norms
from segjax.layers import two_stage
from segjax.layers.fpn import FPN
from segjax.layers.fpn import sum_levels
from segjax.layers.head import classifier
from segjax.layers.two_stage import Truth
from segjax.ops.resize import resize

LEVELS = ('c2', 'c3', 'c4', 'c5')


class Model(nn.Module):
  """Backbone and pyramid, a detector in two stages, a semantic branch."""

  num_classes: int  # Of the semantic branch.
  backbone: str = 'resnet/50_caffe(ceil_pool=False)'
  object_classes: int = 0  # Of the detector; 0: as many as of the branch.
  pyramid_features: int = 256
  features: int = 128  # Of the semantic branch.
  norm_groups: int = 32  # Of the group norms in the branch.
  # Of each level, the square roots of the areas of anchors.
  anchor_sizes: tuple[tuple[float, ...], ...] = (
      *((32.0,), (64.0,), (128.0,)),
      *((256.0,), (512.0,)),
  )
  anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # Height over width.
  # Whether anchors, and the rule for the level of a box, are torchvision's;
  # else they are detectron2's.
  rounded_anchors: bool = False
  sampling: int = 0  # Of a bin on each axis; 0: as many as it has pixels.
  aligned: bool = True  # See `ops.roi_align`.
  box_features: int = 1024
  mask_features: int = 256
  mask_depth: int = 4  # Convolutions before masks are enlarged.
  upsampling: str = 'transposed'  # Of masks, see `layers.upsample`.
  # PointRend's masks, such as 'c2', see `layers.point_masks`; '' has none.
  points: str = ''
  # Proposals of each level before suppression, and of an image after it; in
  # prediction and in training.
  before: tuple[int, int] = (1000, 2000)
  proposals: tuple[int, int] = (1000, 1000)
  min_score: float = 0.05  # Of a detection.
  max_overlap: float = 0.5  # Of two detections of a class.
  detections: int = 100  # Of an image.
  rpn_sample: int = 256  # Anchors of an image that training learns from.
  roi_sample: int = 512  # Boxes of an image that training learns from.

  reads = ('image',)
  train_reads = (
      'image',
      'instance_boxes',
      'instance_classes',
      'instance_valid',
  )

  @nn.compact
  def __call__(
      self,
      image,
      instance_boxes=None,
      instance_classes=None,
      instance_valid=None,
      *,
      train=False,
  ):
    """Detects objects and labels pixels; the truth is for training alone.

    Args:
      image: [B, H, W, C], normalised.
      instance_boxes: [B, N, 4], y0 x0 y1 x1.
      instance_classes: [B, N].
      instance_valid: [B, N], 1 for the rows that are to be learnt from.
      train: whether this is training.

    Returns:
      The outputs of segjax/tasks/panoptic_two_stage.py.
    """
    truth = None
    if instance_boxes is not None:
      truth = Truth(instance_boxes, instance_classes, instance_valid)
    feats = backbones.build(self.backbone, LEVELS, name='backbone')(
        image, train
    )
    pyramid = FPN(self.pyramid_features, name='fpn')(
        {level: feats[level] for level in LEVELS}, train
    )

    def norm(train, name):
      return norms.group_norm(train, groups=self.norm_groups, name=name)

    x = sum_levels(pyramid, self.features, norm, train)
    logits = resize(classifier(self.num_classes)(x), image.shape[1:3])
    above = {'c6': pyramid['c5'][:, ::2, ::2]}
    out = detector(self)(pyramid | above, image.shape[1:3], truth, train=train)
    return {'logits': logits, 'aux': {}, **out}


def detector(model: Model) -> two_stage.TwoStage:
  """Returns the detector of a model."""
  return two_stage.of_model(
      model,
      num_classes=model.object_classes or model.num_classes,
      rpn_features=model.pyramid_features,
      mask_features=model.mask_features,
  )
