"""SDS, https://arxiv.org/abs/1407.1808: simultaneous detection, segmentation.

Each region proposal is seen twice, in its box and without its background, by
two CaffeNets; SVMs on both together score it, and what is best of its place is
refined and pasted (figure 2). This is network C, with its heads, as released;
checked against the released network.

Proposals are given by the user, the paper's being those of MCG. The heads, SVMs
and logistic regressors by liblinear there, are linear layers here, converted or
trained on features that they do not change. The last step decides for each
pixel where the paper decides for superpixels of MCG.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.ops import boxes as box_ops
from segjax.ops import detections
from segjax.ops.pool import adaptive_avg_pool


class Network(nn.Module):
  """Two paths, and linear heads on their features."""

  num_classes: int
  backbone: str = 'caffenet/reference'
  cells: int = 100  # Of a coarse mask.
  refiners: int = 1  # Coarse masks: one, or one for each category.
  dropout: float = 0.5

  @nn.compact
  def __call__(self, window, mask, cells, *, train=False):
    """Describes windows.

    Args:
      window: [M, S, S, C], normalised.
      mask: [M, S, S], 1 in the region and 0 around it.
      cells: [M, cells], the mask in coarse.
      train: whether dropout is on.

    Returns:
      A dict: `class_logits` [M, K], `svm_scores` [M, K - 1] and `coarse` [M,
      refiners, cells], logits.
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
    # The other heads learn after the network, or as if.
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
  """Scores of proposals, the best of them refined, laid over each other."""

  num_classes: int  # Class 0 is the background.
  backbone: str = 'caffenet/reference'
  size: int = 227  # Of the windows that the network sees.
  context: int = 16  # Pixels of a window around the box.
  grid: int = 10  # Rows and columns of a coarse mask.
  dropout: float = 0.5
  max_overlap: float = 0.0  # Of two detections of a category.
  min_score: float = 0.0

  reads = ('image', 'proposals')
  train_reads = ('image', 'proposals', 'categories')

  @nn.compact
  def __call__(self, image, proposals, categories=None, *, train=False):
    """Segments images by their proposals.

    Args:
      image: [B, H, W, C], normalised so that the mean is 0.
      proposals: [B, H, W, N], 0 or 1; an empty one is no proposal.
      categories: [B, N], classes to refine masks for; by default those that the
        proposals are found to show.
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

    found, scores = detections.detect(
        out['svm_scores'], regions, self.max_overlap
    )
    shown = found if categories is None else categories
    shown = jnp.clip(shown.astype(jnp.int32), 1, self.num_classes - 1) - 1
    coarse = jnp.take_along_axis(
        out.pop('coarse'), shown[..., None, None], 2
    ).reshape(*boxes.shape[:2], self.grid, self.grid)

    # Factors of the coarse mask and the region, and a constant; at first, both
    # have to agree.
    factors = nn.Embed(
        self.num_classes - 1,
        3,
        embedding_init=lambda key, shape, dtype: jnp.broadcast_to(
            jnp.array([4, 4, -6], dtype), shape
        ),
        name='membership',
    )(shown)[..., None, None]

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
        pixels >= 0, found, scores, self.min_score, self.num_classes
    )
    return {
        'logits': logits.astype(image.dtype),
        'aux': {},
        **out,
        'boxes': boxes,
        'masks': {'coarse': coarse, 'refined': refined},
    }
