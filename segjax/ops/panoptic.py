"""Segments of one image, of pixels grouped to objects or of predicted masks.

All shapes are static and ids are int32, so that `jax.vmap` maps these functions
over a batch. Grouping by centres and offsets is from Panoptic-DeepLab,
https://arxiv.org/abs/1911.10194, section 3.2, by the rules of
bowenc0221/panoptic-deeplab; masks of queries are merged as in MaskFormer,
https://arxiv.org/abs/2107.06278, section 3.4, by those of its authors; dividing
the pixels among mask slots is from MaX-DeepLab,
https://arxiv.org/abs/2012.00759, and kMaX-DeepLab,
https://arxiv.org/abs/2207.04044, by the rules of google-research/deeplab2.
"""

from collections.abc import Callable

import jax
from jax import lax
import jax.numpy as jnp

NO_CLASS = 255  # Of a segment that does not exist.


def find_centers(
    heat: jax.Array, *, threshold: float, nms: int, top_k: int
) -> tuple[jax.Array, jax.Array]:
  """Finds the peaks of a heat map.

  A peak is above the threshold and the largest value of the window around it;
  equal neighbours are all peaks. Of `top_k` or more, those are kept that are
  above the `top_k`-th: at most `top_k` - 1.

  Args:
    heat: [H, W].
    threshold: not negative.
    nms: side of the window in pixels, odd.
    top_k: peaks to look at.

  Returns:
    [top_k, 2] int32, y and x of the peaks, row by row, and how many there are;
    the places after them mean nothing.

  Raises:
    ValueError: the window is even or a number is negative.
  """
  if nms < 1 or nms % 2 == 0 or top_k < 1 or threshold < 0:
    raise ValueError(
        f'threshold={threshold}, nms={nms}, top_k={top_k}: expected a threshold'
        ' of 0 or more, an odd window and a peak or more.'
    )
  heat = jnp.where(heat > threshold, heat.astype(jnp.float32), -1.0)
  heat = jnp.where(heat == _window_max(heat, nms), heat, -1.0)
  count = min(top_k, heat.size)
  values, places = lax.top_k(heat.ravel(), count)
  lowest = values[-1] if count == top_k else -1.0
  kept = values > jnp.maximum(lowest, 0.0)
  places = jnp.sort(jnp.where(kept, places, heat.size))
  places = jnp.pad(places, (0, top_k - count), constant_values=heat.size)
  points = jnp.stack(jnp.divmod(places, heat.shape[1]), -1)
  return points.astype(jnp.int32), kept.sum(dtype=jnp.int32)


def _window_max(x, side):
  """Returns the maximum of the square window around each pixel."""
  reach = side // 2
  for axis in (0, 1):  # A square is a row of columns, in fewer comparisons.
    window = tuple(side if i == axis else 1 for i in (0, 1))
    padding = tuple((reach, reach) if i == axis else (0, 0) for i in (0, 1))
    x = lax.reduce_window(x, -jnp.inf, lax.max, window, (1, 1), padding)
  return x


def group(offset: jax.Array, points: jax.Array, count: jax.Array) -> jax.Array:
  """Assigns every pixel to the centre that is nearest to where it points.

  Args:
    offset: [H, W, 2], y and x from the pixel to its centre.
    points: [K, 2], y and x of centres.
    count: how many of them there are.

  Returns:
    [H, W] int32: 1 for the first centre, and so on; 0 if there is none.
  """
  height, width, _ = offset.shape
  y = jnp.arange(height)[:, None] + offset[..., 0].astype(jnp.float32)
  x = jnp.arange(width) + offset[..., 1].astype(jnp.float32)

  def nearer(i, best):
    distance, index = best
    d = jnp.hypot(y - points[i, 0], x - points[i, 1])
    closer = d < distance
    return jnp.where(closer, d, distance), jnp.where(closer, i + 1, index)

  # One centre after the other: distances to all would be K maps.
  start = jnp.full((height, width), jnp.inf), jnp.zeros((height, width), int)
  _, index = lax.fori_loop(0, count, nearer, start)
  return index.astype(jnp.int32)


def vote(classes: jax.Array, ids: jax.Array, rows: int, num_classes: int):
  """Counts the pixels of each class in each segment.

  Args:
    classes: [H, W], integers in [0, num_classes).
    ids: [H, W], integers in [0, rows], 0 for no segment.
    rows: N.
    num_classes: K.

  Returns:
    [N, K] int32.
  """
  cell = ids.astype(jnp.int32) * num_classes + classes
  size = (1 + rows) * num_classes
  counts = jnp.zeros(size, jnp.int32).at[cell.ravel()].add(1)
  return counts.reshape(1 + rows, num_classes)[1:]


def merge(
    classes: jax.Array,
    groups: jax.Array,
    is_thing: jax.Array,
    *,
    top_k: int,
    stuff_area: int,
) -> tuple[jax.Array, jax.Array]:
  """Joins objects and stuff to one map of segments.

  Only pixels whose class is a thing's are of an object. It has the class of
  most of them, of equally many the first. Stuff is what is left; a class of
  fewer than `stuff_area` pixels becomes void, and so do things without an
  object.

  Args:
    classes: [H, W], the class of each pixel.
    groups: [H, W], from `group`.
    is_thing: [K] booleans.
    top_k: largest number of objects.
    stuff_area: pixels that stuff of a class needs.

  Returns:
    [H, W] int32, segments from 1 on and 0 for void: i of 1..top_k is an object,
    and top_k + 1 + c the stuff of class c. And the classes of the segments,
    [top_k + K] int32, `NO_CLASS` for those that have no pixel.
  """
  num_classes = len(is_thing)
  of_thing = is_thing[classes]
  things = jnp.where(of_thing, groups, 0)
  votes = vote(classes, things, top_k, num_classes)
  thing_class = jnp.where(votes.sum(1) > 0, votes.argmax(1), NO_CLASS)

  # Beyond the groups, so that a class has a number that no object has.
  stuff = jnp.where(of_thing, 0, classes + 1)
  area = vote(jnp.zeros_like(classes), stuff, num_classes, 1)[:, 0]
  large = (area >= stuff_area) & (area > 0)
  ids = jnp.arange(num_classes)
  stuff_class = jnp.where(large, ids, NO_CLASS)
  painted = jnp.where(~of_thing & large[classes], top_k + 1 + classes, things)
  table = jnp.concatenate([thing_class, stuff_class])
  return painted.astype(jnp.int32), table.astype(jnp.int32)


def pixelwise_owners(
    class_logits: jax.Array,
    mask_logits: jax.Array,
    *,
    threshold: float,
    pixel_threshold: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Gives each pixel to a mask slot on its own, as MaX-DeepLab does.

  A slot counts if its class is likelier than the threshold. A pixel goes to the
  slot that is the best of all there, if it counts and has more than
  `pixel_threshold` of the pixel among those that count.

  Args:
    class_logits: [Q, K + 1], the last one for no segment.
    mask_logits: [H, W, Q].
    threshold: probability that the class of a slot has at least.
    pixel_threshold: share of a pixel.

  Returns:
    [H, W] int32, 1 for the first slot and so on, 0 for none; the classes of the
    slots, [Q] int32; and the probabilities of these, [Q].
  """
  score, kinds = _likeliest(class_logits)
  counts = score >= threshold
  logits = mask_logits.astype(jnp.float32)
  share = jax.nn.softmax(jnp.where(counts, logits, -jnp.inf))
  best = logits.argmax(-1)
  # Where no slot counts at all, the shares are not numbers: above nothing.
  clear = jnp.take_along_axis(share, best[..., None], -1)[..., 0]
  owner = jnp.where(counts[best] & (clear > pixel_threshold), best + 1, 0)
  return owner.astype(jnp.int32), kinds, score


def maskwise_owners(
    class_logits: jax.Array,
    mask_logits: jax.Array,
    is_thing: jax.Array,
    *,
    thing_threshold: float,
    stuff_threshold: float,
    overlap: float,
    pixel_threshold: float,
    mask_power: float = 1.0,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Gives pixels to mask slots, the surest first, as kMaX-DeepLab does.

  The mask of a slot is where it has more than `pixel_threshold` of a pixel. A
  slot gets what is free of its mask, if its class is likely enough and more
  than `overlap` of the mask is free.

  Args:
    class_logits: [Q, K + 1], the last one for no segment.
    mask_logits: [H, W, Q].
    is_thing: [K] booleans.
    thing_threshold: probability that the class of a thing is above.
    stuff_threshold: the same of stuff.
    overlap: share of a mask.
    pixel_threshold: share of a pixel.
    mask_power: power of the mean share of the pixels of its mask in how sure a
      slot is; the other factor is the probability of its class.

  Returns:
    As `pixelwise_owners`, with the slots in the order of how sure they are.
  """
  score, kinds = _likeliest(class_logits)
  share = jax.nn.softmax(mask_logits.astype(jnp.float32))
  masks = share > pixel_threshold
  area = masks.sum((0, 1))
  mean = jnp.where(masks, share, 0.0).sum((0, 1)) / jnp.maximum(area, 1)
  order = jnp.argsort(-score * mean**mask_power)
  least = jnp.where(is_thing[kinds], thing_threshold, stuff_threshold)

  def take(i, owner):
    slot = order[i]
    free = masks[..., slot] & (owner == 0)
    kept = free.sum() > overlap * area[slot]
    return jnp.where(free & kept & (score > least)[slot], i + 1, owner)

  owner = jnp.zeros(masks.shape[:2], jnp.int32)
  owner = lax.fori_loop(0, len(order), take, owner)
  return owner, kinds[order], score[order]


def _likeliest(class_logits):
  """Returns probability and number of the likeliest class of each slot."""
  shares = jax.nn.softmax(class_logits.astype(jnp.float32))[:, :-1]
  return shares.max(-1), shares.argmax(-1).astype(jnp.int32)


def merge_owners(
    owner: jax.Array,
    kinds: jax.Array,
    scores: jax.Array,
    is_thing: jax.Array,
    *,
    thing_area: int,
    stuff_area: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns the segments of pixels that belong to slots.

  Stuff of one class is one segment, that of the first of its slots.

  Args:
    owner: [H, W], i of 1..Q for a slot, 0 for none.
    kinds: [Q], classes of the slots.
    scores: [Q], how sure they are.
    is_thing: [K] booleans.
    thing_area: pixels that a thing needs, or else it becomes void.
    stuff_area: the same of a class of stuff.

  Returns:
    [H, W] int32, segments from 1 on and 0 for void; their classes, [Q] int32,
    `NO_CLASS` for those that are not there; and their scores, [Q], 0 for those.
  """
  here = vote(jnp.zeros_like(owner), owner, len(kinds), 1)[:, 0] > 0
  first = _first_of_class(kinds, here & ~is_thing[kinds])
  segments = jnp.pad(first + 1, (1, 0))[owner]
  area = vote(jnp.zeros_like(owner), segments, len(kinds), 1)[:, 0]
  least = jnp.where(is_thing[kinds], thing_area, stuff_area)
  kept = (area > 0) & (area >= least)
  segments = jnp.where(jnp.pad(kept, (1, 0))[segments], segments, 0)
  table = jnp.where(kept, kinds, NO_CLASS)
  return (
      segments.astype(jnp.int32),
      table.astype(jnp.int32),
      jnp.where(kept, scores, 0.0),
  )


def _first_of_class(kinds, stuff):
  """Returns the first of the stuff of each one's class, [Q].

  Args:
    kinds: [Q], classes.
    stuff: [Q], which are stuff that is there; others are their own first.
  """
  same = (kinds[:, None] == kinds) & stuff[:, None] & stuff
  return jnp.where(stuff, same.argmax(1), jnp.arange(len(kinds)))


def merge_detections(
    mask_of: Callable[[jax.Array], jax.Array],
    scores: jax.Array,
    labels: jax.Array,
    is_stuff: jax.Array,
    *,
    min_score: float,
    max_overlap: float,
    stuff_area: int,
) -> tuple[jax.Array, jax.Array]:
  """Lays the masks of detections over each other, and stuff where none is.

  Panoptic Feature Pyramid Networks, https://arxiv.org/abs/1901.02446, section
  3, with the rules of detectron2: the best detection comes first; one of which
  more than a share is covered already is left out, else what is free of it is
  painted.

  Args:
    mask_of: returns the mask of a detection, [H, W] booleans, of its index.
    scores: [D].
    labels: [H, W], the class of each pixel.
    is_stuff: [K] booleans; pixels of other classes stay void.
    min_score: detections below it are left out.
    max_overlap: share of a mask that may be covered.
    stuff_area: free pixels that stuff of a class needs.

  Returns:
    [H, W] int32, segments from 1 on and 0 for void: i + 1 is detection i, and
    D + 1 + c the stuff of class c. And which segments there are, [D + K].
  """
  count, num_classes = len(scores), len(is_stuff)
  order = jnp.argsort(scores, descending=True)

  def paint(place, state):
    segments, painted = state
    i = order[place]
    mask = mask_of(i)
    area, covered = mask.sum(), (mask & (segments > 0)).sum()
    good = (area > 0) & (covered <= max_overlap * area)
    good &= scores[i] >= min_score
    free = mask & (segments == 0) & good
    return jnp.where(free, i + 1, segments), painted.at[i].set(good)

  start = jnp.zeros(labels.shape, jnp.int32), jnp.zeros(count, bool)
  segments, painted = lax.fori_loop(0, count, paint, start)
  rest = jnp.where((segments == 0) & is_stuff[labels], labels + 1, 0)
  area = vote(jnp.zeros_like(rest), rest, num_classes, 1)[:, 0]
  large = (area >= stuff_area) & (area > 0)
  large_there = jnp.pad(large, (1, 0))[rest]
  segments = jnp.where(large_there, count + rest, segments)
  return segments, jnp.concatenate([painted, large])


def merge_masks(
    class_logits: jax.Array,
    mask_logits: jax.Array,
    is_thing: jax.Array,
    *,
    threshold: float,
    overlap: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Joins the masks of queries to one map of segments.

  A query counts if it is of a class with a probability above the threshold.
  Each pixel goes to the query whose probability, of class and of mask, is the
  largest; of these pixels a segment keeps those where its mask is more likely
  than not. Where too little is left of a mask, it is no segment. Stuff of one
  class is one segment.

  Args:
    class_logits: [Q, K + 1], the last one for no segment.
    mask_logits: [H, W, Q].
    is_thing: [K] booleans.
    threshold: probability that a class is above.
    overlap: share of its mask that a query has to win.

  Returns:
    [H, W] int32, segments from 1 on and 0 for void; their classes, [Q] int32,
    `NO_CLASS` for those that are not there; and the probabilities of these
    classes, [Q].
  """
  queries = len(class_logits)
  probabilities = jax.nn.softmax(class_logits.astype(jnp.float32))
  score, kinds = probabilities.max(-1), probabilities.argmax(-1)
  masks = jax.nn.sigmoid(mask_logits.astype(jnp.float32))
  counts = (kinds < len(is_thing)) & (score > threshold)
  winner = jnp.where(counts, score * masks, -1.0).argmax(-1)
  inside = jnp.take_along_axis(masks, winner[..., None], -1)[..., 0] >= 0.5
  won = jnp.zeros(queries, jnp.int32).at[winner.ravel()].add(1)
  left = jnp.zeros_like(won).at[winner.ravel()].add(inside.ravel())
  area = (masks >= 0.5).sum((0, 1))
  counts &= (left > 0) & (won >= overlap * area)
  # The first query of a class of stuff has the others' pixels, too.
  first = _first_of_class(kinds, counts & ~jnp.append(is_thing, True)[kinds])
  counted = inside & counts[winner]
  segments = jnp.where(counted, first[winner] + 1, 0)
  here = counts & (first == jnp.arange(queries))
  table = jnp.where(here, kinds, NO_CLASS)
  scores = jnp.where(here, score, 0.0)
  return segments.astype(jnp.int32), table.astype(jnp.int32), scores


def mean_in_segments(values: jax.Array, ids: jax.Array, rows: int) -> jax.Array:
  """Averages a map [H, W] over each segment, [N]; 0 for one without a pixel.

  Args:
    values: [H, W].
    ids: [H, W], integers in [0, N], 0 for no segment.
    rows: N.
  """
  zeros = jnp.zeros(1 + rows, jnp.float32)
  total = zeros.at[ids.ravel()].add(values.ravel().astype(jnp.float32))
  count = zeros.at[ids.ravel()].add(1.0)
  return (total / jnp.maximum(count, 1))[1:]
