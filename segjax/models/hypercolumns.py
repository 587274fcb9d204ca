"""Hypercolumns, https://arxiv.org/abs/1411.5752.

A hypercolumn is the vector of a pixel's activations in several layers. In the
box of a detection it is classified: does the pixel belong to the object? Each
cell of a coarse grid in the box has a classifier of its own, and a pixel's
probability is interpolated from the classifiers of the cells around it. This is
the network released for VGG-16, built on Fast R-CNN, with a 5x5 grid; the
paper's grid is `grid=10`. Checked against the released network with both grids.

The boxes are the bounding boxes of region proposals, which are given with the
image. The released code takes categories and scores from a detector. Here Fast
R-CNN's linear layer computes them from the same features; with
`classify=False` the categories are given too, and proposals come best first.
There is no box regression and no rescoring. The paper averages the result over
superpixels of MCG; here each pixel is decided separately.
"""

import math

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax import backbones
from segjax.backbones.vgg import pool2_up
from segjax.layers.conv import Conv
from segjax.layers.fc import FullyConnected
from segjax.ops import boxes as box_ops
from segjax.ops import detections
from segjax.ops.resize import weights
from segjax.ops.roi_pool import roi_max_pool


class Columns(nn.Module):
  """Scores the pixels of boxes by the classifiers of all cells of a grid.

  Three layers have a linear classifier each, with an output for each category
  and cell; their scores are added.
  """

  num_categories: int
  cells: int  # Number of cells of the grid.
  size: int  # Rows and columns of pixels that a box is sampled at.
  scales: tuple[float, float]  # Factors on the features pool3 and pool4.

  @nn.compact
  def __call__(self, pool3, pool4, fc7, boxes, categories):
    """Returns logits [B, N, size, size, cells].

    Args:
      pool3: features [B, h, w, C].
      pool4: features [B, h, w, C].
      fc7: features [B, N, C] of the boxes.
      boxes: [B, N, 4], y0 x0 y1 x1 as fractions of the image's height and
        width.
      categories: [B, N], the category to compute scores for, counted from 0.
    """
    split = (self.num_categories, self.cells)
    features = self.num_categories * self.cells
    init = nn.initializers.normal(0.01)
    conv3 = Conv(features, (3, 3), padding=1, kernel_init=init, name='pool3')
    conv4 = Conv(features, (1, 1), kernel_init=init, name='pool4')
    dense = nn.Dense(features, kernel_init=init, name='fc7')

    def in_box(maps, box, category):
      sides = jnp.array(maps.shape[:2] * 2)
      return box_ops.sample(maps[:, :, category], box * sides, self.size)

    in_boxes = jax.vmap(jax.vmap(in_box, (None, 0, 0)))
    maps3 = conv3(pool3 * self.scales[0])
    maps4 = conv4(pool4 * self.scales[1])
    scores = dense(fc7).reshape(*fc7.shape[:2], *split)
    scores = jnp.take_along_axis(scores, categories[..., None, None], 2)
    return (
        in_boxes(maps3.reshape(*maps3.shape[:3], *split), boxes, categories)
        + in_boxes(maps4.reshape(*maps4.shape[:3], *split), boxes, categories)
        + scores[:, :, None]
    )


def mix(scores):
  """Interpolates the probabilities of the cells around each pixel.

  Args:
    scores: [..., S, S, cells], logits of each pixel by each cell of a square
      grid.

  Returns:
    The logits of the interpolated probabilities, [..., S, S].
  """
  size, cells = scores.shape[-2:]
  rows = weights(math.isqrt(cells), size)
  share = np.einsum('yr,xc->yxrc', rows, rows).reshape(size, size, cells)
  yes, no = (
      jax.nn.logsumexp(jax.nn.log_sigmoid(s), -1, b=share)
      for s in (scores.astype(jnp.float32), -scores.astype(jnp.float32))
  )
  return (yes - no).astype(scores.dtype)


class Model(nn.Module):
  """Segments the object in each proposal's box, and combines the masks."""

  num_classes: int  # Class 0 is the background.
  backbone: str = 'vgg/16'
  grid: int = 5  # Rows and columns of the grid of classifiers.
  size: int = 50  # Rows and columns of a mask in a box.
  bins: int = 7  # Rows and columns of RoI pooling, which fc6 reads.
  hidden: int = 4096  # Features of fc6 and fc7.
  dropout: float = 0.5
  # Factors on pool3 and pool4, with which features of all layers have similar
  # magnitudes.
  scales: tuple[float, float] = (0.0027, 0.063)
  classify: bool = True  # Whether a linear layer classifies proposals.
  max_overlap: float = 0.3  # IoU above which the worse detection is dropped.
  min_score: float = 0.0  # Only detections above this score count.
  min_probability: float = 0.4  # Above it a pixel belongs to the object.

  train_reads = ('image', 'proposals', 'categories')

  @property
  def reads(self):
    """Fields of a batch that the model reads; see the README of this folder."""
    return ('image', 'proposals') if self.classify else self.train_reads

  @nn.compact
  def __call__(self, image, proposals, categories=None, *, train=False):
    """Segments images by their proposals.

    Args:
      image: [B, H, W, C], normalised.
      proposals: [B, H, W, N], 0 or 1; an empty one is no proposal.
      categories: [B, N], the class to compute each mask for; by default the
        class that the proposal is classified as.
      train: whether dropout is on.

    Returns:
      The outputs of segjax/tasks/proposals.py, with the mask 'figure'.
    """
    size = image.shape[1:3]
    boxes = jax.vmap(box_ops.bounding_boxes)(proposals)
    feats = backbones.build(
        self.backbone, ('c3', 'c4', 'conv5'), pool=pool2_up, name='backbone'
    )(image, train)

    # Positions in conv5, at stride 16, of the first and the last pixel of a
    # box.
    cells = jnp.round((boxes - jnp.array([0, 0, 1, 1])) / 16)
    x = jax.vmap(roi_max_pool, (0, 0, None))(feats['conv5'], cells, self.bins)
    x = x.reshape(-1, *x.shape[2:])
    fc7 = FullyConnected(self.hidden, self.dropout, name='hidden')(x, train)
    fc7 = fc7.reshape(*boxes.shape[:2], -1)

    if self.classify:
      init = nn.initializers.normal(0.01)
      class_logits = nn.Dense(
          self.num_classes, kernel_init=init, name='classifier'
      )(fc7)
    elif categories is None:
      raise ValueError(
          'Without a classifier of proposals, classify=False, their categories'
          ' must be given.'
      )
    else:
      ranks = jnp.arange(boxes.shape[1], 0, -1, image.dtype)
      one_hot = jax.nn.one_hot(categories, self.num_classes, dtype=image.dtype)
      class_logits = ranks[:, None] * one_hot
    detected, scores = detections.detect(
        class_logits[..., 1:] - class_logits[..., :1],
        proposals,
        self.max_overlap,
    )
    chosen = detected if categories is None else categories
    columns = Columns(
        self.num_classes - 1,
        self.grid**2,
        self.size,
        self.scales,
        name='columns',
    )(
        feats['c3'],
        feats['c4'],
        fc7,
        # In the released code pixels are points, and the last one lies at 1.
        (boxes - 0.5) / (jnp.array(size * 2) - 1),
        jnp.clip(chosen.astype(jnp.int32), 1, self.num_classes - 1) - 1,
    )
    figure = mix(columns)
    masks = box_ops.paste(jax.nn.sigmoid(figure), boxes, size)
    logits = detections.lay_over(
        masks > self.min_probability,
        detected,
        scores,
        self.min_score,
        self.num_classes,
    )
    return {
        'logits': logits.astype(image.dtype),
        'aux': {},
        'class_logits': class_logits,
        'boxes': boxes,
        'masks': {'figure': figure},
    }
