"""SDS, https://arxiv.org/abs/1407.1808.

Simultaneous detection and segmentation. Two CaffeNets compute features of each
region proposal: one of its box, one of its box with the background set to 0.
SVMs score the features, non-maximum suppression keeps the best proposals, and
their masks are refined and pasted into the image (figure 2). This is network C
with its heads, as released, and was checked against the released network.

Proposals are given with the image; the paper takes those of MCG. SVMs and
logistic regressors, which the paper trains by liblinear, are linear layers
here, whose gradients do not reach the features. The last step decides for each
pixel; the paper decides for each superpixel of MCG.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.ops import boxes as box_ops
from segjax.ops import detections
from segjax.ops.pool import adaptive_avg_pool


class Network(nn.Module):
  """Two CaffeNets and linear heads on their features."""

  num_classes: int
  backbone: str = 'caffenet/reference'
  cells: int = 100  # Number of cells of a coarse mask.
  refiners: int = 1  # Number of coarse masks: 1, or one for each category.
  dropout: float = 0.5

  @nn.compact
  def __call__(self, window, mask, cells, *, train=False):
    """Classifies windows around proposals, and predicts coarse masks.

    Args:
      window: normalised crops of the image, [M, S, S, C].
      mask: [M, S, S], 1 in the region and 0 around it.
      cells: [M, cells], the means of the mask over a coarse grid.
      train: whether dropout is on.

    Returns:
      A dict: `class_logits` [M, K], `svm_scores` [M, K - 1] and `coarse`,
        logits
      [M, refiners, cells].
    """
    region = window * mask[..., None].astype(window.dtype)
    paths = []
    for name, image in (('box', window), ('region', region)):
      path = backbones.build(
          self.backbone, ('fc7',), dropout=self.dropout, name=name
      )
      paths.append(path(image, train)['fc7'])
    features = jnp.concatenate(paths, -1)

    def dense(count, name):
      init = nn.initializers.normal(0.01)
      return nn.Dense(count, kernel_init=init, name=name)

    class_logits = dense(self.num_classes, 'classifier')(features)
    # The paper trains the other heads after the network, on fixed features.
    features = jax.lax.stop_gradient(features)
    svm_scores = dense(self.num_classes - 1, 'svm')(features)
    joined = jnp.concatenate([features, cells.astype(features.dtype)], -1)
    coarse = dense(self.refiners * self.cells, 'refiner')(joined)
    return {
        'class_logits': class_logits,
        'svm_scores': svm_scores,
        'coarse': coarse.reshape(-1, self.refiners, self.cells),
    }


class Model(nn.Module):
  """Scores proposals, refines the masks of the best, and combines them."""

  num_classes: int  # Class 0 is the background.
  backbone: str = 'caffenet/reference'
  size: int = 227  # Rows and columns of the windows that the network reads.
  context: int = 16  # Pixels of a window outside the box, on each side.
  grid: int = 10  # Rows and columns of a coarse mask.
  dropout: float = 0.5
  max_overlap: float = 0.0  # IoU above which the worse detection is dropped.
  min_score: float = 0.0  # Only detections above this score count.

  reads = ('image', 'proposals')
  train_reads = ('image', 'proposals', 'categories')

  @nn.compact
  def __call__(self, image, proposals, categories=None, *, train=False):
    """Segments images by their proposals.

    Args:
      image: [B, H, W, C], normalised so that the mean is 0.
      proposals: [B, H, W, N], 0 or 1; an empty one is no proposal.
      categories: [B, N], the class to refine each mask for; by default the
        class that the proposal is scored best for.
      train: whether dropout is on.

    Returns:
      The outputs of segjax/tasks/proposals.py, with the masks 'coarse' and
      'refined'.
    """
    regions = (proposals > 0).astype(image.dtype)
    masks = jnp.moveaxis(regions, -1, 1)
    boxes = box_ops.expand(
        box_ops.bounding_boxes(regions),
        self.context / (self.size - 2 * self.context),
    )

    def crop(image, box):
      return box_ops.sample(image, box, self.size, outside='zero')

    def crop_mask(mask, box):
      return box_ops.pick(mask, box, self.size)

    window = jax.vmap(jax.vmap(crop, (None, 0)))(image, boxes)
    mask = jax.vmap(jax.vmap(crop_mask))(masks, boxes)
    cells = adaptive_avg_pool(
        mask.reshape(-1, self.size, self.size, 1), (self.grid, self.grid)
    )
    out = Network(
        self.num_classes,
        self.backbone,
        self.grid**2,
        refiners=self.num_classes - 1,
        dropout=self.dropout,
        name='network',
    )(
        window.reshape(-1, *window.shape[2:]),
        mask.reshape(-1, *mask.shape[2:]),
        cells.reshape(-1, self.grid**2),
        train=train,
    )
    out = {k: v.reshape(*boxes.shape[:2], *v.shape[1:]) for k, v in out.items()}

    detected, scores = detections.detect(
        out['svm_scores'], regions, self.max_overlap
    )
    chosen = detected if categories is None else categories
    chosen = jnp.clip(chosen.astype(jnp.int32), 1, self.num_classes - 1) - 1
    coarse = jnp.take_along_axis(
        out.pop('coarse'), chosen[..., None, None], 2
    ).reshape(*boxes.shape[:2], self.grid, self.grid)

    # For each category a factor on the coarse mask, one on the region, and a
    # constant. The initial values are positive only where both agree.
    factors = nn.Embed(
        self.num_classes - 1,
        3,
        embedding_init=lambda key, shape, dtype: jnp.broadcast_to(
            jnp.array([4, 4, -6], dtype), shape
        ),
        name='membership',
    )(chosen)[..., None, None]

    def refine(coarse, region):
      a, b, constant = (factors[:, :, i] for i in range(3))
      return a * coarse + b * region + constant

    probability = jax.nn.sigmoid(coarse)
    refined = refine(
        jax.lax.stop_gradient(probability),
        cells.reshape(coarse.shape),
    )
    pixels = refine(box_ops.paste(probability, boxes, image.shape[1:3]), masks)
    logits = detections.lay_over(
        pixels >= 0, detected, scores, self.min_score, self.num_classes
    )
    return {
        'logits': logits.astype(image.dtype),
        'aux': {},
        **out,
        'boxes': boxes,
        'masks': {'coarse': coarse, 'refined': refined},
    }
