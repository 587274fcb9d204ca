"""Semantic segmentation by region proposals, which are classified and refined.

Outputs of a system: `logits` [B, H, W, K] and `aux`, as of the task 'semantic',
where proposals were pasted; and of N proposals
  class_logits [B, N, K]: class 0 is the background;
  svm_scores [B, N, K - 1]: of linear SVMs for the other classes, if it has any;
  boxes [B, N, 4]: y0 x0 y1 x1 in pixels, ends exclusive, in which masks lie;
  masks {name: logits [B, N, S, S]}: a pixel is of the object, on a grid of the
    box, for the category that the batch names.
A batch has `image`, `label`, `proposals` [B, H, W, N], and what those show:
`categories` [B, N], 255 for an empty one, and `overlaps` [B, N]; see
`data.proposals.assign`.
"""

import jax
import jax.numpy as jnp

from segjax.ops import boxes as box_ops
from segjax.ops.reduce import mean_over
from segjax.tasks import semantic

TRUTH = ('label', 'categories', 'overlaps')
BEST = semantic.BEST
PER_PIXEL = semantic.PER_PIXEL
channels = semantic.channels
predict = semantic.predict
scores = semantic.scores

IGNORE = 255
FOREGROUND, BACKGROUND = 0.5, 0.2  # Overlaps with an object.


def loss(
    out,
    batch,
    rng,
    *,
    pixel,
    aux=0.0,
    mask_overlap: float = FOREGROUND,
    full_area: int = 0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the loss to minimise and its parts, scalars by name.

  It is the sum of `pixel` for the class of each proposal; of the mean squared
  hinge of each SVM against all other classes; and of the mean cross entropy of
  each mask over the pixels of proposals that show an object.

  Args:
    out: outputs of a system.
    batch: what they are outputs for.
    rng: not used.
    pixel: from `losses.build`, here for [B, N, 1, K].
    aux: not used; these systems have no auxiliary heads.
    mask_overlap: of the proposals that masks are learnt from.
    full_area: pixels of a box from which on its mask counts fully, in
      proportion if it has fewer; 0 counts all alike.
  """
  del rng, aux
  categories, overlaps = batch['categories'], batch['overlaps']
  exists = categories != IGNORE
  classes = jnp.where(overlaps >= FOREGROUND, categories, 0)
  classes = jnp.where(exists, classes, IGNORE)
  total, parts = pixel(out['class_logits'][:, :, None], classes[..., None])
  parts = dict(parts)
  if 'svm_scores' in out:
    parts['svm'] = squared_hinge(out['svm_scores'], categories, overlaps)

  height, width = jnp.split(out['boxes'][..., 2:] - out['boxes'][..., :2], 2, 2)
  weights = jnp.minimum(height * width / max(full_area, 1), 1)[..., 0]
  weights *= exists & (overlaps >= mask_overlap)
  for name, logits in out['masks'].items():
    target = mask_targets(batch['label'], out['boxes'], logits.shape[-1])
    of_object = target == categories[..., None, None]
    sign = jnp.where(of_object, 1.0, -1.0)
    entropy = -jax.nn.log_sigmoid(sign * logits.astype(jnp.float32))
    valid = weights[..., None, None] * (target != IGNORE)
    parts[f'mask_{name}'] = mean_over((entropy * valid).sum(), valid.sum())
  more = [v for k, v in parts.items() if k == 'svm' or k.startswith('mask_')]
  return sum(more, total), parts


def squared_hinge(svm_scores, categories, overlaps):
  """Returns the mean loss of SVMs, each of a category against the rest.

  Proposals between, that show some of an object of the category, do not count.

  Args:
    svm_scores: [B, N, K - 1], for the classes from 1 on.
    categories: [B, N], what proposals overlap most.
    overlaps: [B, N], by how much.
  """
  classes = jnp.arange(svm_scores.shape[-1]) + 1
  same = categories[..., None] == classes
  positive = same & (overlaps[..., None] >= FOREGROUND)
  between = same & ~positive & (overlaps[..., None] >= BACKGROUND)
  counts = (categories != IGNORE)[..., None] & ~between
  sign = jnp.where(positive, 1.0, -1.0)
  hinge = jnp.maximum(1 - sign * svm_scores.astype(jnp.float32), 0) ** 2
  return mean_over((hinge * counts).sum(), counts.sum())


def mask_targets(label, boxes, size):
  """Returns the labels at the grids of boxes, 0 beyond the image.

  Args:
    label: [B, H, W].
    boxes: [B, N, 4].
    size: S, rows and columns of the grids.

  Returns:
    [B, N, S, S].
  """
  of_image = jax.vmap(box_ops.pick, (None, 0, None))
  return jax.vmap(of_image, (0, 0, None))(label, boxes, size)
