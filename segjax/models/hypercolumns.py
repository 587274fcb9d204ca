"""Hypercolumns, https://arxiv.org/abs/1411.5752.

A pixel is described by the activations of several layers above it, and in the
box of a detection this column tells whether the pixel is of the object. Each
place in the box has its own classifiers: those of a coarse grid, mixed. As
released for VGG-16, with a 5x5 grid, after Fast R-CNN; the paper's grid is
`grid=10`. Checked against the released network, with both grids.

Boxes are those of the proposals, which the user gives: a region, or a filled
rectangle. The released classifiers take categories and scores of a detector;
here Fast R-CNN's linear layer on the same features tells them, or, without it,
`classify=False`, proposals are given best first and with their categories. Box
regression and rescoring are left to whoever makes proposals. The paper takes
means of the result over superpixels of MCG; here each pixel is its own.
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
  """Scores of the pixels of boxes by three layers, for each cell of a grid.

  A classifier of a layer has an output for each category and cell.
  """

  num_categories: int
  cells: int
  size: int  # Rows and columns of pixels.
  scales: tuple[float, float]  # Of the features of the first two layers.

  @nn.compact
  def __call__(self, pool3, pool4, fc7, boxes, categories):
    """Returns [B, N, size, size, cells].

    Args:
      pool3: features [B, h, w, C].
      pool4: features [B, h, w, C].
      fc7: features [B, N, C] of the boxes.
      boxes: [B, N, 4], as parts of the image's height and width.
      categories: [B, N], from 0 on, whose scores to compute.
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
  """Returns the logits of the mixed probabilities of the cells around a pixel.

  Args:
    scores: [..., S, S, cells], logits by each cell of a square grid.

  Returns:
    [..., S, S] in the type of `scores`.
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
  """Figures in the boxes of proposals, laid over each other by rank."""

  num_classes: int  # Class 0 is the background.
  backbone: str = 'vgg/16'
  grid: int = 5
  size: int = 50  # Rows and columns of a figure.
  bins: int = 7  # Of the pooling for the hidden layers.
  hidden: int = 4096
  dropout: float = 0.5
  # Make features of different layers of VGG-16 alike in size.
  scales: tuple[float, float] = (0.0027, 0.063)
  classify: bool = True
  max_overlap: float = 0.3  # Of two detections of a category.
  min_score: float = 0.0
  min_probability: float = 0.4  # Of a pixel of a figure.

  train_reads = ('image', 'proposals', 'categories')

  @property
  def reads(self):
    """Names of the fields that it is given; see the README of this folder."""
    return ('image', 'proposals') if self.classify else self.train_reads

  @nn.compact
  def __call__(self, image, proposals, categories=None, *, train=False):
    """Segments images by their proposals.

    Args:
      image: [B, H, W, C], normalised.
      proposals: [B, H, W, N], 0 or 1; an empty one is no proposal.
      categories: [B, N], classes whose figures to compute; by default those
        that the proposals are found to show.
      train: whether dropout is on.

    Returns:
      The outputs of segjax/tasks/proposals.py, with the mask 'figure'.
    """
    size = image.shape[1:3]
    boxes = jax.vmap(box_ops.bounding_boxes)(proposals)
    feats = backbones.build(
        self.backbone, ('c3', 'c4', 'conv5'), pool=pool2_up, name='backbone'
    )(image, train)

    # The cells of a stride of 16 that the first and the last pixel are in.
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
      given = jax.nn.one_hot(categories, self.num_classes, dtype=image.dtype)
      class_logits = ranks[:, None] * given
    found, scores = detections.detect(
        class_logits[..., 1:] - class_logits[..., :1],
        proposals,
        self.max_overlap,
    )
    shown = found if categories is None else categories
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
        # As released, where pixels are points and the last one is at 1.
        (boxes - 0.5) / (jnp.array(size * 2) - 1),
        jnp.clip(shown.astype(jnp.int32), 1, self.num_classes - 1) - 1,
    )
    figure = mix(columns)
    masks = box_ops.paste(jax.nn.sigmoid(figure), boxes, size)
    logits = detections.lay_over(
        masks > self.min_probability,
        found,
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
