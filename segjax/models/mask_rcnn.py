"""Mask R-CNN, https://arxiv.org/abs/1703.06870.

A network of proposals finds boxes that may hold an object; each is read by
RoIAlign, classified, moved, and segmented by a small network. Without masks it
is Faster R-CNN, https://arxiv.org/abs/1506.01497, with RoIAlign. The features
are those of a pyramid, https://arxiv.org/abs/1612.03144, or of the third stage
of a ResNet, whose last stage then works on each box (C4).

Checked against torchvision 0.28, `maskrcnn_resnet50_fpn`, the default: anchors
are rounded, and a bin has 2 x 2 samples. torchvision resizes images within the
model; here the string of preprocessing does, `resize(800, mode='short',
longest=1333)|normalize`. There a batch is padded to multiples of 32 as well,
and here an image is seen as it is. Class 0 is no object.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.backbones import resnet
from segjax.layers import two_stage
from segjax.layers.fpn import FPN
from segjax.layers.two_stage import Truth
from segjax.layers.two_stage import TwoStage
from segjax.ops import boxes as box_ops
from segjax.ops import detections


class Model(nn.Module):
  """Backbone, pyramid, and a detector in two stages."""

  num_classes: int  # Class 0 is no object.
  backbone: str = 'resnet/50'
  # Levels of the pyramid, the finest first; 'c6' takes every second row and
  # column of 'c5', and has proposals alone. One level, 'c4': no pyramid.
  levels: tuple[str, ...] = ('c2', 'c3', 'c4', 'c5', 'c6')
  pyramid_features: int = 256
  # Of each level, the square roots of the areas of anchors.
  anchor_sizes: tuple[tuple[float, ...], ...] = (
      *((32.0,), (64.0,), (128.0,)),
      *((256.0,), (512.0,)),
  )
  anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # Height over width.
  # Whether anchors, and the rule for the level of a box, are torchvision's;
  # else they are detectron2's.
  rounded_anchors: bool = True
  sampling: int = 2  # Of a bin on each axis; 0: as many as it has pixels.
  aligned: bool = False  # See `ops.roi_align`.
  masks: bool = True  # Without them it is Faster R-CNN.
  box_features: int = 1024
  mask_features: int = 256
  mask_depth: int = 4  # Convolutions before masks are enlarged.
  upsampling: str = 'transposed'  # Of masks, see `layers.upsample`.
  # PointRend's masks, such as 'c2', see `layers.point_masks`; '' has none.
  points: str = ''
  # Proposals of each level before suppression, and of an image after it; in
  # prediction and in training.
  before: tuple[int, int] = (1000, 2000)
  proposals: tuple[int, int] = (1000, 2000)
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
    """Detects objects; the truth is for training alone.

    Args:
      image: [B, H, W, C], normalised.
      instance_boxes: [B, N, 4], y0 x0 y1 x1.
      instance_classes: [B, N].
      instance_valid: [B, N], 1 for the rows that are to be learnt from.
      train: whether this is training.

    Returns:
      The outputs of segjax/tasks/instances.py.
    """
    truth = None
    if instance_boxes is not None:
      truth = Truth(instance_boxes, instance_classes, instance_valid)
    size = image.shape[1:3]
    feats = self.features(image, train)
    out = detector(self, feats)(feats, size, truth, train=train)
    grids = out['mask_logits'] if self.masks else jnp.ones((1, 1, 1, 1))
    grids = jnp.broadcast_to(grids, (*out['boxes'].shape[:2], *grids.shape[2:]))
    logits = detections.lay_over(
        box_ops.paste(grids > 0, out['boxes'], size),
        out['classes'],
        out['scores'],
        0.0,
        self.num_classes,
    )
    return {'logits': logits.astype(image.dtype), 'aux': {}, **out}

  def features(self, image, train):
    """Returns the features that proposals come from, {level: [B, h, w, C]}."""
    if self.levels == ('c4',):
      feats = backbones.build(
          self.backbone, ('c4',), stages=3, name='backbone'
      )(image, train)
      return {'c4': feats['c4']}
    levels = [level for level in self.levels if level != 'c6']
    feats = backbones.build(self.backbone, levels, name='backbone')(
        image, train
    )
    pyramid = FPN(self.pyramid_features, name='fpn')(
        {level: feats[level] for level in levels}, train
    )
    if 'c6' in self.levels:
      pyramid['c6'] = pyramid['c5'][:, ::2, ::2]
    return pyramid


def detector(model: Model, feats: dict[str, jax.Array]) -> TwoStage:
  """Returns the detector of a model, for such features."""
  if model.levels != ('c4',):
    own = {}
  else:  # The last stage of the backbone is in the place of hidden layers.
    own = dict(
        box_bins=14,
        box_features=0,
        mask_depth=0,
        trunk=resnet.last_stage(model.backbone, 'trunk'),
    )
  return two_stage.of_model(
      model,
      num_classes=model.num_classes,
      roi_levels=tuple(level for level in model.levels if level != 'c6'),
      rpn_features=next(iter(feats.values())).shape[-1],
      mask_features=model.mask_features if model.masks else 0,
      **own,
  )
