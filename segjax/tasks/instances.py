"""Instance segmentation: objects are detected, each with a class and a mask.

Outputs of a system, of D detections in each image: `boxes` [B, D, 4], y0 x0 y1
x1 in pixels of the image that it was given; `classes` [B, D], class 0 is no
object; `scores` [B, D], 0 for a detection that is not there; and, if the system
predicts masks, `mask_logits` [B, D, S, S], a grid in each box. `logits`
[B, H, W, K] show all of them in one label map. In training there are also
`anchors`, `rois` and `roi_mask_logits`, see `layers.two_stage`. A system of
queries has `class_logits` [B, Q, K + 1] and `mask_logits` [B, h, w, Q] instead,
and a loss of its own.

The truth travels as one map `instances` [B, H, W] with the tables
`instance_classes` and `instance_crowds`, see the task 'panoptic'. For training
`objects` in the string of preprocessing adds `instance_boxes` [B, N, 4] and
`instance_valid` [B, N]; the mask of object i is where `instances` is i. Groups
that nobody told apart are not learnt from, and are left out of the scores.

Class 0 of the data set stands for no object, so it must not be a thing.
"""

from collections.abc import Iterator
import json
import zlib

from etils import epath
import jax
import jax.numpy as jnp
import numpy as np
import optax

from segjax.artifacts import pictures
from segjax.artifacts import polygons
from segjax.data import boxes as box_data
from segjax.data import coco_masks
from segjax.data import image as images
from segjax.data.label_map import IGNORE
from segjax.data.label_map import LabelMap
from segjax.data.raw_ids import RawIds
from segjax.evaluation import cityscapes_ap
from segjax.evaluation import coco_ap
from segjax.evaluation import collections
from segjax.evaluation import masks as mask_ops
from segjax.ops import anchors as anchor_ops
from segjax.ops import mask_classification
from segjax.ops import roi_align
from segjax.ops.reduce import mean_over
from segjax.runtime import atomic
from segjax.tasks import semantic

TRUTH = (
    'instances',
    'instance_boxes',
    'instance_classes',
    'instance_valid',
)
BEST = 'AP'
PER_PIXEL = False
BOXES = ('boxes',)  # Of a prediction, in pixels.
channels = semantic.channels

BETA = 1 / 9  # Below it the loss of a delta is quadratic.
SHOWN = 0.5  # Score from which on pictures show a detection.


def loss(
    out,
    batch,
    rng,
    *,
    pixel,
    aux=0.0,
    anchor_box_weight: float = 1.0,
    box_weight: float = 1.0,
    mask_weight: float = 1.0,
    point_weight: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the loss of both stages of a detector, and its parts.

  Args:
    out: outputs of a system in training.
    batch: what they are outputs for.
    rng: not used.
    pixel: not used; the class of a box has cross entropy.
    aux: not used; these systems have no auxiliary heads.
    anchor_box_weight: factor of the loss of boxes in the first stage.
    box_weight: the same in the second.
    mask_weight: factor of the loss of masks.
    point_weight: factor of the loss of points of masks, where there are any.
  """
  del rng, pixel, aux
  boxes = batch['instance_boxes']
  objectness, anchor_box = anchor_losses(out['anchors'], boxes)
  of_class, box = roi_losses(out['rois'], boxes)
  parts = {
      'objectness': objectness,
      'anchor_box': anchor_box,
      'class': of_class,
      'box': box,
  }
  total = objectness + anchor_box_weight * anchor_box
  total += of_class + box_weight * box
  if 'roi_mask_logits' in out:
    parts['mask'] = mask_loss(
        out['roi_mask_logits'], out['rois'], batch['instances']
    )
    total += mask_weight * parts['mask']
  if 'roi_points' in out:
    parts['points'] = point_loss(out, batch['instances'])
    total += point_weight * parts['points']
  return total, parts


def anchor_losses(
    anchors: dict[str, jax.Array], boxes: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the losses of the first stage.

  They are the mean binary cross entropy of the anchors to learn from, and the
  smooth L1 distance of the deltas of objects over the number of these anchors.

  Args:
    anchors: `logits` [B, A], `deltas`, `boxes`, `chosen` and `matched`; see
      `layers.two_stage.TwoStage.learn`.
    boxes: [B, N, 4], true ones.
  """
  chosen = anchors['chosen']
  count = (chosen != 0).sum()
  logits = anchors['logits'].astype(jnp.float32)
  entropy = -jax.nn.log_sigmoid(jnp.where(chosen > 0, logits, -logits))
  truth = jnp.take_along_axis(boxes, anchors['matched'][..., None], 1)
  target = anchor_ops.encode(truth, anchors['boxes'])
  distance = smooth_l1(anchors['deltas'], target).sum(-1)
  return (
      mean_over(jnp.where(chosen != 0, entropy, 0).sum(), count),
      mean_over(jnp.where(chosen > 0, distance, 0).sum(), count),
  )


def roi_losses(
    rois: dict[str, jax.Array], boxes: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the losses of classes and boxes in the second stage.

  They are the mean cross entropy, and the smooth L1 distance of the deltas for
  the true class over the number of all boxes to learn from.

  Args:
    rois: `class_logits` [B, R, K], `deltas`, `boxes`, `classes` and `matched`;
      see `layers.two_stage.TwoStage.learn`.
    boxes: [B, N, 4], true ones.
  """
  classes = rois['classes']
  counted, of_object = classes >= 0, classes > 0
  place = jnp.maximum(classes, 0)
  logs = jax.nn.log_softmax(rois['class_logits'].astype(jnp.float32))
  entropy = -jnp.take_along_axis(logs, place[..., None], -1)[..., 0]
  truth = jnp.take_along_axis(boxes, rois['matched'][..., None], 1)
  target = anchor_ops.encode(truth, rois['boxes'], anchor_ops.BOX_WEIGHTS)
  deltas = jnp.take_along_axis(rois['deltas'], place[..., None, None], 2)
  distance = smooth_l1(deltas[..., 0, :], target).sum(-1)
  count = counted.sum()
  return (
      mean_over(jnp.where(counted, entropy, 0).sum(), count),
      mean_over(jnp.where(of_object, distance, 0).sum(), count),
  )


def mask_loss(
    logits: jax.Array, rois: dict[str, jax.Array], ids: jax.Array
) -> jax.Array:
  """Returns the mean binary cross entropy of the masks of objects.

  Args:
    logits: [B, M, S, S], of the first M boxes.
    rois: with `boxes`, `classes` and `matched`; see `roi_losses`.
    ids: [B, H, W], 1 + `matched` where the pixel is of that object.
  """
  count = logits.shape[1]
  boxes, classes, matched = (
      rois[name][:, :count] for name in ('boxes', 'classes', 'matched')
  )
  target = roi_align.mask_targets(ids, boxes, matched + 1, logits.shape[-1])
  logits = logits.astype(jnp.float32)
  entropy = jnp.maximum(logits, 0) - logits * target
  entropy += jnp.log1p(jnp.exp(-jnp.abs(logits)))
  of_object = (classes > 0)[..., None, None]
  pixels = of_object.sum() * logits.shape[-1] ** 2
  return mean_over(jnp.where(of_object, entropy, 0).sum(), pixels)


def point_loss(out: dict, ids: jax.Array) -> jax.Array:
  """Returns the mean binary cross entropy of points of the masks of objects.

  Args:
    out: with `roi_points` [B, M, P, 2] in the image, `roi_point_logits`
      [B, M, P], of the first M boxes, and `rois`; see `mask_loss`.
    ids: [B, H, W], 1 + `matched` where the pixel is of that object.
  """
  logits = out['roi_point_logits'].astype(jnp.float32)
  count = logits.shape[1]
  classes, matched = (out['rois'][x][:, :count] for x in ('classes', 'matched'))
  target = mask_classification.masks_at(ids, matched + 1, out['roi_points'])
  entropy = optax.sigmoid_binary_cross_entropy(logits, target)
  of_object = (classes > 0)[..., None]
  points = of_object.sum() * logits.shape[-1]
  return mean_over(jnp.where(of_object, entropy, 0).sum(), points)


def smooth_l1(values: jax.Array, targets: jax.Array) -> jax.Array:
  """Returns the distance, less `BETA` / 2, or its square where it is small."""
  distance = jnp.abs(values.astype(jnp.float32) - targets)
  return jnp.where(
      distance < BETA, distance**2 / (2 * BETA), distance - BETA / 2
  )


def predict(
    out, label_map: LabelMap, *, detections: int = 100
) -> dict[str, jax.Array]:
  """Returns the detections and their masks.

  Args:
    out: outputs of a system.
    label_map: says which classes are things; others have a score of 0.
    detections: how many are chosen, at most, among the masks of queries. A
      detector has a field for it.

  Returns:
    `boxes` [B, D, 4], `classes` [B, D] uint8 and `scores` [B, D]; of a detector
    that predicts masks, `masks` [B, D, S, S], probabilities; and of queries
    `inside` [B, H, W, ceil(D / 8)], see `mask_classification.detect`.
  """
  is_thing = jnp.asarray(_is_thing(label_map))
  if 'class_logits' in out:
    size = out['logits'].shape[1:3]
    found = jax.vmap(
        lambda kinds, masks: mask_classification.detect(
            kinds, masks, size, is_thing, detections
        )
    )(out['class_logits'], out['mask_logits'])
    return found | {'classes': found['classes'].astype(jnp.uint8)}
  found = {
      'boxes': out['boxes'],
      'classes': out['classes'].astype(jnp.uint8),
      'scores': jnp.where(is_thing[out['classes']], out['scores'], 0),
  }
  if 'mask_logits' in out:
    found['masks'] = jax.nn.sigmoid(out['mask_logits'].astype(jnp.float32))
  return found


class Scores:
  """Average precision of masks and boxes, and how detections are shown.

  A prediction is a dict of arrays of one image, as `predict` makes them, with
  `boxes` in pixels of the label.
  """

  summary = 'instances.json'  # Tells the detections of all images.

  def __init__(self, label_map: LabelMap):
    _is_thing(label_map)
    self.label_map, self._raw_ids = label_map, None
    classes = label_map.num_classes
    self._precision = {
        kind: coco_ap.AveragePrecision(classes) for kind in ('masks', 'boxes')
    }
    self._cityscapes = []  # Rows of images.
    missed = len(cityscapes_ap.THRESHOLDS)
    self._missed = np.zeros((classes, missed + 1), np.int64)
    self._with_masks = np.zeros(1, np.int64)  # Images that had masks.
    self._written = {}  # Entries of images, by name.

  def add(self, example: dict, prediction: dict) -> None:
    """Counts what of an image was found.

    Args:
      example: with the `label` [H, W], the `instances` [H, W] and the tables.
      prediction: see `Scores`.
    """
    if 'instances' not in example:
      raise ValueError(
          f'{example["name"]} has no instances: set'
          ' config.dataset.options.instances, if the data set has it.'
      )
    ids, label = example['instances'], example['label']
    classes = np.asarray(example['instance_classes'])
    truth_boxes, pixels = box_data.bounds(ids, len(classes))
    there = pixels > 0
    crowds = np.asarray(example['instance_crowds'], bool)[there]
    found = np.flatnonzero(prediction['scores'] > 0)
    kinds, scores = prediction['classes'][found], prediction['scores'][found]
    boxes = prediction['boxes'][found]
    sides = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
    table = {
        'boxes': (
            coco_ap.box_overlaps(boxes, truth_boxes[there], crowds),
            sides.prod(-1),
        )
    }
    if _has_masks(prediction):
      self._with_masks += 1
      shared, areas, void = _shared(prediction, found, ids, label, len(classes))
      shared = shared[:, 1:][:, there]
      overlaps = coco_ap.overlaps(shared, areas, pixels[there], crowds)
      table['masks'] = overlaps, areas
    number = zlib.crc32(example['name'].encode())
    for name, (overlaps, of_found) in table.items():
      self._precision[name].add(
          overlaps,
          scores,
          of_found,
          kinds,
          pixels[there],
          classes[there],
          crowds,
          things=self.label_map.things,
          image=number,
      )
    if not _has_masks(prediction):
      return
    for kind in self.label_map.things:
      mine, true = kinds == kind, classes[there] == kind
      if mine.any() or true.any():
        rows, missed, total = cityscapes_ap.match(
            shared[mine][:, true],
            scores[mine],
            areas[mine],
            pixels[there][true],
            crowds[true],
            void[mine],
            category=kind,
        )
        self._cityscapes.append(rows)
        self._missed[kind] += [*missed, total]

  def gather(self) -> None:
    """Joins what all processes have, each of which saw a part of the split."""
    self._missed, self._with_masks = (
        collections.sum_over_processes(x)
        for x in (self._missed, self._with_masks)
    )
    for precision in self._precision.values():
      precision.gather()
    rows = _joined(self._cityscapes)
    self._cityscapes = [collections.rows_of_processes(rows)]

  def compute(self) -> dict[str, float]:
    """Returns all scores by name; `AP` is of boxes where there are no masks."""
    kinds = ('masks', 'boxes') if self._with_masks.any() else ('boxes',)
    scores = {}
    for kind in kinds:
      numbers, each = self._precision[kind].compute()
      if kind == kinds[0]:
        scores |= numbers
        for i in self.label_map.things:
          scores[f'AP/{self.label_map.names[i]}'] = float(each[i])
      scores |= {
          f'box_{name}': numbers[name] for name in ('AP', 'AP50', 'AP75')
      }
    if 'masks' in kinds:
      each = cityscapes_ap.average_precision(
          _joined(self._cityscapes),
          self._missed[:, :-1],
          self._missed[:, -1],
      )
      each = each[~np.isnan(each).any(1)]
      scores['cityscapes_AP'] = float(each.mean()) if len(each) else np.nan
      scores['cityscapes_AP50'] = (
          float(each[:, 0].mean()) if len(each) else np.nan
      )
    return scores

  def describe(self, scores: dict[str, float]) -> str:
    """Returns the lines in which scores are told."""
    per_class = {k[3:]: v for k, v in scores.items() if k.startswith('AP/')}
    width = max(map(len, per_class))
    lines = [f'  {name:<{width}}  {ap:7.4f}' for name, ap in per_class.items()]
    cityscapes = ''
    if 'cityscapes_AP' in scores:
      cityscapes = (
          f"; by Cityscapes' rules AP {scores['cityscapes_AP']:.4f} (at 0.5"
          f' {scores["cityscapes_AP50"]:.4f})'
      )
    return (
        f'AP {scores["AP"]:.4f} (at 0.5 {scores["AP50"]:.4f}, at 0.75'
        f' {scores["AP75"]:.4f}; small {scores["AP_small"]:.4f}, medium'
        f' {scores["AP_medium"]:.4f}, large {scores["AP_large"]:.4f}), AR100'
        f' {scores["AR100"]:.4f}; of boxes AP {scores["box_AP"]:.4f} (at 0.5'
        f' {scores["box_AP50"]:.4f}){cityscapes}; AP per class:\n'
        + '\n'.join(lines)
    )

  def conventions(self) -> dict[str, str]:
    """Returns how the scores were counted, to be written beside them."""
    return {
        'AP': "COCO's rules; classes without a true object are left out",
        'boxes of the truth': 'bounds of the visible pixels of objects',
    }

  def pictures(self) -> dict[str, np.ndarray]:
    """Returns pictures of the sums: there are none."""
    return {}

  def draw(self, example: dict, prediction: dict) -> np.ndarray:
    """Returns image, truth and prediction side by side, [H, W, 3] uint8."""
    image = pictures.displayable(example['raw'])
    ids, classes = example['instances'], example['instance_classes']
    numbers = np.setdiff1d(ids, 0)
    truth = pictures.objects(
        image,
        [ids == i for i in numbers],
        [self.label_map.names[classes[i - 1]] for i in numbers],
        [self.label_map.colors[classes[i - 1]] for i in numbers],
    )
    return pictures.beside(image, truth, self._show(image, prediction))

  def confusion(self) -> None:
    """Returns None: objects are found or missed, pixels have no class."""

  def paint(self, raw: np.ndarray, prediction: dict) -> np.ndarray:
    """Returns a prediction as a picture; see `semantic.Scores.paint`."""
    return self._show(pictures.displayable(raw), prediction)

  def found(self, prediction: dict) -> list[tuple[int, str]]:
    """Returns the ids of the classes in a picture, with their objects."""
    shown = prediction['scores'] >= SHOWN
    ids, counts = np.unique(prediction['classes'][shown], return_counts=True)
    return [
        (int(i), f'{count} object{"s" if count > 1 else ""}')
        for i, count in zip(ids, counts, strict=True)
    ]

  def at(self, prediction: dict, y: int, x: int) -> list[tuple[int, float]]:
    """Returns classes and scores of the objects at a pixel, the best first."""
    size = y + 1, x + 1  # Of the part of the image that is looked at.
    boxes, scores = prediction['boxes'], prediction['scores']
    inside = (boxes[:, :2] <= (y + 1, x + 1)) & (boxes[:, 2:] >= (y, x))
    near = np.flatnonzero(inside.all(1) & (scores >= SHOWN))
    return [
        (int(prediction['classes'][i]), float(scores[i]))
        for i in near[np.argsort(-scores[near])]
        if _whole(prediction, i, size)[y, x]
    ]

  def _show(self, image, prediction):
    """Returns an image with its detections, contours and names."""
    shown = np.flatnonzero(prediction['scores'] >= SHOWN)[::-1]
    classes = prediction['classes']
    return pictures.objects(
        image,
        [_whole(prediction, i, image.shape[:2]) for i in shown],
        [
            f'{self.label_map.names[classes[i]]} {prediction["scores"][i]:.2f}'
            for i in shown
        ],
        [self.label_map.colors[classes[i]] for i in shown],
    )

  def segments(
      self, example: dict, prediction: dict
  ) -> Iterator[polygons.Segment]:
    """Yields each detection; one without a mask fills its box.

    Args:
      example: with the image as it was read, `raw`.
      prediction: see `Scores`.
    """
    size = example['raw'].shape[:2]
    for i in np.flatnonzero(prediction['scores'] > 0):
      yield polygons.Segment(
          int(prediction['classes'][i]),
          _whole(prediction, i, size),
          float(prediction['scores'][i]),
      )

  def use_raw_ids(self, raw_ids: RawIds) -> None:
    """Lets files tell classes by the raw ids of the data set."""
    self._raw_ids = raw_ids

  def files(
      self, name: str, *, probabilities: bool = False, variance: bool = False
  ) -> list[str]:
    """Returns the names of the files that `write` makes of an image.

    Args:
      name: of the image.
      probabilities: refused, there are none of pixels.
      variance: not used.
    """
    del variance
    _refuse_probabilities(probabilities)
    names = [f'{name}_overlay.png']
    if self._raw_ids and self._raw_ids.instance_files:
      names.append(f'raw_ids/{name}.txt')
    return names

  def resume(self, folder: epath.Path) -> set[str]:
    """Takes over what instances.json tells of an earlier prediction.

    Returns:
      The names of the images that it has detections of.
    """
    for entry in json.loads((folder / self.summary).read_text()):
      name = entry.get('file_name', entry['image_id'])  # It is newer.
      self._written.setdefault(name, []).append(entry)
    return set(self._written)

  def write(
      self,
      folder: epath.Path,
      example: dict,
      prediction: dict,
      *,
      probabilities: bool = False,
  ) -> None:
    """Writes NAME_overlay.png, and keeps the detections for `finish`.

    In raw ids of a data set whose server asks for `instance_files`, it also
    writes raw_ids/NAME.txt: in each line the file of a mask, NAME_0.png, its
    class and its score.

    Args:
      folder: to write to.
      example: with the image as it was read, `raw`, and the `name`.
      prediction: see `Scores`.
      probabilities: refused, there are none of pixels.
    """
    _refuse_probabilities(probabilities)
    name, image = example['name'], pictures.displayable(example['raw'])
    raw = self._raw_ids
    entries, lines = [], []
    for i in np.flatnonzero(prediction['scores'] > 0):
      y0, x0, y1, x1 = prediction['boxes'][i].tolist()
      kind = int(prediction['classes'][i])
      number = raw.ids[kind] if raw else kind
      entry = {
          'image_id': raw.image_id(name) if raw else name,
          'file_name': name,
          'category_id': number,
          'category': self.label_map.names[kind],
          'bbox': [x0, y0, x1 - x0, y1 - y0],
          'score': float(prediction['scores'][i]),
      }
      mask = _whole(prediction, i, image.shape[:2])
      if _has_masks(prediction):
        entry['segmentation'] = coco_masks.encode(mask)
      entries.append(entry)
      if raw and raw.instance_files:
        file = f'{name}_{len(lines)}.png'
        lines.append(f'{file} {number} {entry["score"]:.6f}\n')
        (folder / 'raw_ids').mkdir(exist_ok=True)
        images.write_png(folder / 'raw_ids' / file, mask * np.uint8(255))
    if raw and raw.instance_files:
      (folder / 'raw_ids').mkdir(exist_ok=True)
      with atomic.replacing(folder / 'raw_ids' / f'{name}.txt') as file:
        file.write(''.join(lines).encode())
    overlay = self._show(image, prediction)
    images.write_png(folder / f'{name}_overlay.png', overlay)
    self._written[name] = entries

  def finish(self, folder: epath.Path) -> None:
    """Writes instances.json, COCO's list of results.

    Each entry has `image_id`, the name of the image or, with raw ids, what
    COCO calls it; `category_id`, the class; `bbox`, x y width height; `score`;
    and `segmentation`, compressed runs. The name of the `category` and the
    `file_name`, which is the name of the image, are our additions.

    Args:
      folder: that `write` wrote to.
    """
    if not self._written:
      return
    content = [
        entry for of_image in self._written.values() for entry in of_image
    ]
    with atomic.replacing(folder / self.summary) as file:
      file.write(json.dumps(content, indent=1).encode())


def _shared(prediction, found, ids, label, count):
  """Returns the pixels that masks share with objects, theirs, and void ones.

  Args:
    prediction: see `Scores`.
    found: [P], indices of the detections that are there.
    ids: [H, W], true objects.
    label: [H, W].
    count: N.

  Returns:
    [P, 1 + N], where the first column is of no object; [P]; and [P].
  """
  size = ids.shape
  shared = np.zeros((len(found), 1 + count), np.int64)
  void = np.zeros(len(found), np.int64)
  for row, i in enumerate(found):
    window, mask = _pasted(prediction, i, size)
    shared[row] = np.bincount(ids[window][mask], minlength=1 + count)
    ignored = (label[window] == IGNORE) & (ids[window] == 0)
    void[row] = (ignored & mask).sum()
  return shared, shared.sum(1), void


def _has_masks(prediction):
  """Returns whether detections have masks, and not boxes alone."""
  return 'masks' in prediction or 'inside' in prediction


def _pasted(prediction, i, size):
  """Returns a window of the image, and the mask of a detection in there."""
  if 'inside' in prediction:
    window = slice(size[0]), slice(size[1])
    bits = prediction['inside'][window][..., i // 8]
    return window, bits >> i % 8 & 1 == 1
  box = prediction['boxes'][i]
  window, values = mask_ops.paste(prediction['masks'][i], box, size)
  return window, values > 0.5


def _whole(prediction, i, size):
  """Returns the mask of a detection, or its filled box, [H, W] booleans."""
  mask = np.zeros(size, bool)
  if _has_masks(prediction):
    window, values = _pasted(prediction, i, size)
    mask[window] = values
  else:
    y0, x0, y1, x1 = np.rint(prediction['boxes'][i]).astype(int).clip(0)
    mask[y0:y1, x0:x1] = True
  return mask


def _joined(rows):
  """Returns a list of rows as one array [n, COLUMNS]."""
  return np.concatenate([np.zeros((0, cityscapes_ap.COLUMNS), np.int64), *rows])


def _refuse_probabilities(probabilities):
  if probabilities:
    raise ValueError(
        'The task instances has detections, and no probabilities of pixels to'
        ' write: leave --probabilities out.'
    )


def scores(label_map: LabelMap, *, absent: str = 'skip') -> Scores:
  """Returns empty scores.

  Args:
    label_map: classes of the data set; it says which are things.
    absent: not used; AP leaves classes out that do not occur.

  Raises:
    ValueError: no class is a thing, or class 0 is one.
  """
  del absent
  return Scores(label_map)


def _is_thing(label_map):
  """Returns which classes are counted objects, [K] booleans."""
  if not label_map.things or 0 in label_map.things:
    raise ValueError(
        'The task instances needs a data set that says which of its classes are'
        ' things, and whose class 0 is none, for it stands for no object. This'
        f' one has the classes {", ".join(label_map.names[:5])}, of which'
        f' {list(label_map.things)} are things.'
    )
  return np.isin(np.arange(label_map.num_classes), label_map.things)
