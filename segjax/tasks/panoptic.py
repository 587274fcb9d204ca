"""Panoptic segmentation: every pixel is of an object or of stuff, or void.

Outputs of a system that works bottom-up: `logits` [B, H, W, K] and `aux`, as of
the task 'semantic'; `center` [B, H, W], a heat map of the centres of objects;
and `offset` [B, H, W, 2], y and x from each pixel to the centre of its object.

A system with masks of Q queries has, beside `logits` and `aux`, `class_logits`
[B, Q, K + 1] and `mask_logits` [B, h, w, Q], and a loss of its own; see
`segjax.ops.mask_classification` and `segjax.ops.mask_slots`.

The truth travels as `label` [B, H, W], the class of each pixel, and one map
`instances` [B, H, W] with tables: 0 is no object, and i of 1..N is the object
whose class is `instance_classes` [B, N], 255 for an object that is not there.
Where `instance_crowds` [B, N] is 1, the object is a group that nobody told
apart, else it is 0. Pixels of things are of an object; where the data set does
not say of which, their label is 255. Stuff is what the label says where there
is no object. `centers` in the string of preprocessing
makes `centers`, `offsets` and `weight` of them, see
`segjax.data.transforms.targets`.

Segments are numbered from 1 on; 0 is void.
"""

from collections.abc import Iterator
import functools
import json
import zlib

from etils import epath
import jax
import jax.numpy as jnp
import numpy as np

from segjax.artifacts import pictures
from segjax.artifacts import polygons
from segjax.data import boxes as box_data
from segjax.data import image as images
from segjax.data.label_map import IGNORE
from segjax.data.label_map import LabelMap
from segjax.data.raw_ids import RawIds
from segjax.evaluation import coco_ap
from segjax.evaluation import collections
from segjax.evaluation import panoptic_quality
from segjax.ops import panoptic as ops
from segjax.ops.reduce import mean_over
from segjax.ops.resize import resize
from segjax.runtime import atomic
from segjax.tasks import semantic

TRUTH = (
    *('label', 'weight', 'instances', 'instance_classes', 'instance_crowds'),
    *('centers', 'offsets'),
)
BEST = 'PQ'
PER_PIXEL = False
channels = semantic.channels


def loss(
    out,
    batch,
    rng,
    *,
    pixel,
    aux: float | dict[str, float] = 0.0,
    aux_pixel=None,
    center_weight: float = 200.0,
    offset_weight: float = 0.01,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the loss to minimise and its parts, scalars by name.

  Beside the loss of the task 'semantic', it is the mean squared error of the
  heat map, over labelled pixels that are of no group, and the mean absolute
  error of the offsets, over pixels of objects that are no group.

  Args:
    out: outputs of a system.
    batch: what they are outputs for.
    rng: given to the task 'semantic'.
    pixel: from `losses.build`.
    aux: factor of the loss of each auxiliary head, or {name: factor}.
    aux_pixel: loss of auxiliary heads; None: `pixel`.
    center_weight: factor of the error of the heat map.
    offset_weight: factor of the error of the offsets, a mean over pixels and
      their two coordinates.
  """
  total, parts = semantic.loss(
      out, batch, rng, pixel=pixel, aux=aux, aux_pixel=aux_pixel
  )
  objects = batch['instances'] > 0
  crowds = jnp.pad(batch['instance_crowds'], ((0, 0), (1, 0)))
  single = jax.vmap(lambda row, ids: row[ids])(crowds, batch['instances']) == 0
  counted = single & (batch['label'] != IGNORE)
  error = jnp.square(out['center'].astype(jnp.float32) - batch['centers'])
  center = mean_over((error * counted).sum(), counted.sum())
  error = jnp.abs(out['offset'].astype(jnp.float32) - batch['offsets'])
  counted = objects & single
  offset = mean_over((error * counted[..., None]).sum(), 2 * counted.sum())
  total = total + center_weight * center + offset_weight * offset
  return total, parts | {'center': center, 'offset': offset}


def predict(
    out,
    label_map: LabelMap,
    *,
    threshold: float = 0.1,
    nms: int = 7,
    top_k: int = 200,
    stuff_area: int = 2048,
    class_threshold: float = 0.8,
    mask_overlap: float = 0.8,
    merging: str = 'queries',
    thing_area: int = 0,
    thing_threshold: float = 0.7,
    stuff_threshold: float = 0.5,
    overlap: float = 0.8,
    pixel_threshold: float = 0.4,
    mask_power: float = 1.0,
) -> dict[str, jax.Array]:
  """Groups pixels to objects around peaks of the heat map, or joins masks.

  Args:
    out: outputs of a system, with a heat map or with masks of queries.
    label_map: says which classes are things.
    threshold: that a peak is above.
    nms: side of the window in which a peak is the largest.
    top_k: peaks to look at in an image.
    stuff_area: pixels that stuff of a class needs, or else it becomes void.
    class_threshold: probability of its class that a query is above.
    mask_overlap: share of its mask that a query has to win.
    merging: how masks are joined: 'queries' as in MaskFormer, which the two
      options above are of; or, of masks that divide each pixel among them,
      'pixelwise' as in MaX-DeepLab or 'maskwise' as in kMaX-DeepLab, which the
      options below are of. See `ops.panoptic`.
    thing_area: pixels that a thing needs, or else it is void.
    thing_threshold: probability that the class of a mask is above.
    stuff_threshold: the same of stuff; pixelwise, `thing_threshold` holds.
    overlap: see `maskwise_owners`.
    pixel_threshold: share of a pixel that a mask is above.
    mask_power: see `maskwise_owners`.

  Returns:
    `segments` [B, H, W] int32; `classes` [B, N] uint8 of the segments 1 to N,
    255 for those that are not there; `scores` [B, N], the mean probability of
    the class, of an object times the heat map at its mean place, or that of a
    query; and `labels` [B, H, W] uint8, the most probable class of each pixel.

  Raises:
    ValueError: there is no such way of merging.
  """
  is_thing = jnp.asarray(_is_thing(label_map))
  of_slots = {
      'pixelwise': functools.partial(
          ops.pixelwise_owners,
          threshold=thing_threshold,
          pixel_threshold=pixel_threshold,
      ),
      'maskwise': functools.partial(
          ops.maskwise_owners,
          is_thing=is_thing,
          thing_threshold=thing_threshold,
          stuff_threshold=stuff_threshold,
          overlap=overlap,
          pixel_threshold=pixel_threshold,
          mask_power=mask_power,
      ),
  }
  if merging in of_slots:
    join = functools.partial(
        _divided,
        of_slots[merging],
        thing_area=thing_area,
        stuff_area=stuff_area,
    )
  elif merging == 'queries':
    join = functools.partial(
        ops.merge_masks, threshold=class_threshold, overlap=mask_overlap
    )
  else:
    raise ValueError(
        f'There is no merging {merging!r}. Known: maskwise, pixelwise, queries.'
    )
  if 'mask_logits' in out:
    return _of_masks(
        out,
        lambda classes, masks: join(classes, masks, is_thing),
        # As the systems whose masks divide pixels resize all maps.
        align_corners=merging != 'queries' and out['logits'].shape[2] % 2 == 1,
    )
  of_image = functools.partial(
      _of_centers,
      is_thing=is_thing,
      threshold=threshold,
      nms=nms,
      top_k=top_k,
      stuff_area=stuff_area,
  )
  logits = out['logits'].astype(jnp.float32)
  return jax.vmap(of_image)(logits, out['center'], out['offset'])


def _of_centers(
    logits, center, offset, *, is_thing, threshold, nms, top_k, stuff_area
):
  """Groups the pixels of an image around peaks of its heat map."""
  classes = logits.argmax(-1).astype(jnp.int32)
  points, count = ops.find_centers(
      center, threshold=threshold, nms=nms, top_k=top_k
  )
  groups = ops.group(offset, points, count)
  segments, table = ops.merge(
      classes, groups, is_thing, top_k=top_k, stuff_area=stuff_area
  )
  scores = class_scores(logits, segments, table)
  peaks = center_scores(center, segments, len(table))
  scores *= jnp.where(jnp.arange(len(table)) < top_k, peaks, 1.0)
  return {
      'segments': segments,
      'classes': table.astype(jnp.uint8),
      'scores': jnp.where(table == ops.NO_CLASS, 0.0, scores),
      'labels': classes.astype(jnp.uint8),
  }


def _divided(divide, classes, masks, is_thing, **areas):
  """Divides pixels among masks, and joins what is of one segment."""
  return ops.merge_owners(*divide(classes, masks), is_thing, **areas)


def _of_masks(out, join, align_corners):
  """Joins the masks of queries; see `predict`."""
  logits = out['logits'].astype(jnp.float32)
  masks = resize(
      out['mask_logits'].astype(jnp.float32),
      logits.shape[1:3],
      align_corners=align_corners,
  )
  segments, table, scores = jax.vmap(join)(out['class_logits'], masks)
  return {
      'segments': segments,
      'classes': table.astype(jnp.uint8),
      'scores': scores,
      'labels': logits.argmax(-1).astype(jnp.uint8),
  }


def class_scores(
    logits: jax.Array, segments: jax.Array, table: jax.Array
) -> jax.Array:
  """Averages the probability of its class over each segment, [N].

  Args:
    logits: [H, W, K].
    segments: [H, W], 0 for void.
    table: [N], classes of the segments 1 to N.
  """
  kind = jnp.pad(table, (1, 0))[segments]
  # Void and what does not exist have a class that is none.
  place = jnp.clip(kind, 0, logits.shape[-1] - 1)[..., None]
  probability = jnp.take_along_axis(jax.nn.softmax(logits), place, -1)[..., 0]
  return ops.mean_in_segments(probability, segments, len(table))


def center_scores(
    center: jax.Array, segments: jax.Array, rows: int
) -> jax.Array:
  """Returns the heat map at the mean place of each segment, [N].

  Args:
    center: [H, W].
    segments: [H, W], 0 for void.
    rows: N.
  """
  height, width = segments.shape
  y, x = (
      ops.mean_in_segments(
          jnp.broadcast_to(at, segments.shape), segments, rows
      ).astype(jnp.int32)
      for at in (jnp.arange(height)[:, None], jnp.arange(width))
  )
  return center[y, x]


class Scores:
  """Panoptic quality and AP of images, and how segments are shown.

  A prediction is a dict of arrays of one image, as `predict` makes them. The
  scores of the task 'semantic' come with it, of the class of each pixel.
  """

  summary = 'panoptic.json'  # Tells the segments of all images.

  def __init__(self, label_map: LabelMap, absent: str):
    self.label_map, self._raw_ids = label_map, None
    self._semantic = semantic.scores(label_map, absent=absent)
    self._sums = [np.zeros((label_map.num_classes, 4)) for _ in range(2)]
    self._precision = coco_ap.AveragePrecision(label_map.num_classes)
    self._written = {}  # Sizes and segments of images, by name.

  def add(self, example: dict, prediction: dict) -> None:
    """Counts what of an image was found.

    Args:
      example: with the `label` [H, W], the `instances` [H, W] and the tables.
      prediction: of the same size.
    """
    self._semantic.add(example, prediction)
    truth, classes, crowds = truth_segments(example, self.label_map)
    for total, boundary in zip(self._sums, (False, True), strict=True):
      total += panoptic_quality.counts(
          truth,
          classes,
          crowds,
          prediction['segments'],
          prediction['classes'],
          self.label_map.num_classes,
          boundary=boundary,
      )
    self._add_objects(example, prediction)

  def _add_objects(self, example, prediction):
    """Counts the segments of things as detections of objects."""
    things = self.label_map.things
    ids, segments = compact(prediction)
    kinds = np.array([one['category_id'] for one in segments], int)
    classes = np.asarray(example['instance_classes'])
    shared = panoptic_quality.overlaps(
        ids, example['instances'], len(kinds), len(classes)
    )
    pixels = shared.sum(0)[1:]
    found, there = np.isin(kinds, things), pixels > 0
    areas = shared.sum(1)[1:][found]
    crowds = np.asarray(example['instance_crowds'], bool)[there]
    self._precision.add(
        coco_ap.overlaps(
            shared[1:, 1:][found][:, there], areas, pixels[there], crowds
        ),
        np.array([one['score'] for one in segments])[found],
        areas,
        kinds[found],
        pixels[there],
        classes[there],
        crowds,
        things=things,
        image=zlib.crc32(example['name'].encode()),
    )

  def gather(self) -> None:
    """Sums over processes, each of which saw a part of the split."""
    self._semantic.gather()
    self._precision.gather()
    self._sums = [collections.sum_over_processes(x) for x in self._sums]

  def compute(self) -> dict[str, float]:
    """Returns all scores by name."""
    things = self.label_map.things
    scores = panoptic_quality.scores(self._sums[0], things)
    per_class = scores.pop('class_PQ')
    del scores['class_SQ'], scores['class_RQ']
    boundary = panoptic_quality.scores(self._sums[1], things)
    scores['boundary_PQ'] = boundary['PQ']
    for name, value in zip(self.label_map.names, per_class, strict=True):
      scores[f'PQ/{name}'] = value
    scores = {name: float(value) for name, value in scores.items()}
    numbers, _ = self._precision.compute()
    scores |= {name: numbers[name] for name in ('AP', 'AP50', 'AP75')}
    return scores | self._semantic.compute()

  def describe(self, scores: dict[str, float]) -> str:
    """Returns the lines in which scores are told."""
    kinds = {'all': '', 'things': '_things', 'stuff': '_stuff'}
    means = [
        f'{kind} PQ {scores[f"PQ{end}"]:.4f} (SQ {scores[f"SQ{end}"]:.4f}, RQ'
        f' {scores[f"RQ{end}"]:.4f})'
        for kind, end in kinds.items()
    ]
    per_class = {k[3:]: v for k, v in scores.items() if k.startswith('PQ/')}
    width = max(map(len, per_class))
    lines = [f'  {name:<{width}}  {pq:7.4f}' for name, pq in per_class.items()]
    return (
        f'{"; ".join(means)}; boundary PQ {scores["boundary_PQ"]:.4f}; AP of'
        f' the masks of things {scores["AP"]:.4f} (at 0.5'
        f' {scores["AP50"]:.4f}); PQ per class:\n'
        + '\n'.join(lines)
        + '\nOf the class of each pixel: '
        + self._semantic.describe(scores)
    )

  def conventions(self) -> dict[str, str]:
    """Returns how the scores were counted, to be written beside them."""
    return self._semantic.conventions() | {
        'AP': "COCO's rules, of segments of things and their scores"
    }

  def pictures(self) -> dict[str, np.ndarray]:
    """Returns pictures of the sums: the confusion matrix of pixels."""
    return self._semantic.pictures()

  def confusion(self) -> np.ndarray | None:
    """Returns the confusion matrix of the classes of pixels, [K, K]."""
    return self._semantic.confusion()

  def draw(self, example: dict, prediction: dict) -> np.ndarray:
    """Returns image, truth and prediction side by side, [H, W, 3] uint8."""
    truth, classes, _ = truth_segments(example, self.label_map)
    return pictures.beside(
        pictures.displayable(example['raw']),
        self._paint(truth, classes),
        self.paint(example['raw'], prediction),
    )

  def paint(self, raw: np.ndarray, prediction: dict) -> np.ndarray:
    """Returns a prediction as a picture; see `semantic.Scores.paint`."""
    del raw
    return self._paint(prediction['segments'], prediction['classes'])

  def found(self, prediction: dict) -> list[tuple[int, str]]:
    """Returns the ids of the classes in a prediction, with their segments."""
    numbers = np.setdiff1d(prediction['segments'], 0)
    ids, counts = np.unique(
        prediction['classes'][numbers - 1], return_counts=True
    )
    return [
        (int(i), f'{count} segment{"s" if count > 1 else ""}')
        for i, count in zip(ids, counts, strict=True)
    ]

  def at(self, prediction: dict, y: int, x: int) -> list[tuple[int, float]]:
    """Returns the class and the score of the segment at a pixel, if any."""
    i = prediction['segments'][y, x] - 1
    if i < 0:
      return []
    return [(int(prediction['classes'][i]), float(prediction['scores'][i]))]

  def segments(
      self, example: dict, prediction: dict
  ) -> Iterator[polygons.Segment]:
    """Yields each segment, an object or the stuff of a class.

    Args:
      example: not used.
      prediction: see `Scores`.
    """
    del example
    ids, segments = compact(prediction)
    for segment in segments:
      yield polygons.Segment(
          segment['category_id'], ids == segment['id'], segment['score']
      )

  def use_raw_ids(self, raw_ids: RawIds) -> None:
    """Lets panoptic.json tell classes by the raw ids of the data set."""
    self._raw_ids = raw_ids

  def files(
      self, name: str, *, probabilities: bool = False, variance: bool = False
  ) -> list[str]:
    """Returns the names of the files that `write` makes of an image.

    Args:
      name: of the image.
      probabilities: refused, there are none of segments.
      variance: not used.
    """
    del variance
    _refuse_probabilities(probabilities)
    return [f'{name}.png', f'{name}_overlay.png']

  def resume(self, folder: epath.Path) -> set[str]:
    """Takes over what panoptic.json tells of an earlier prediction.

    Returns:
      The names of its images.
    """
    content = json.loads((folder / self.summary).read_text())
    known = {entry['id']: entry for entry in content['images']}
    for annotation in content['annotations']:
      about = known[annotation['image_id']]
      size = about['height'], about['width']
      self._written[about['file_name']] = size, annotation['segments_info']
    return set(self._written)

  def write(
      self,
      folder: epath.Path,
      example: dict,
      prediction: dict,
      *,
      probabilities: bool = False,
  ) -> None:
    """Writes the segments of an image in COCO's panoptic format.

    NAME.png is RGB, where R + 256 G + 65536 B is the number of the segment and
    0 is void; NAME_overlay.png shows the segments over the image and names
    their classes.

    Args:
      folder: to write to.
      example: with the image as it was read, `raw`, and the `name`.
      prediction: see `Scores`.
      probabilities: refused, there are none of segments.
    """
    _refuse_probabilities(probabilities)
    name = example['name']
    ids, segments = compact(prediction)
    images.write_png(folder / f'{name}.png', encode(ids))
    painted = self._paint(prediction['segments'], prediction['classes'])
    image = pictures.displayable(example['raw'])
    tinted = image // 2 + painted // 2
    overlay = np.where((ids > 0)[..., None], tinted, image)
    shown = np.array([segment['category_id'] for segment in segments], int)
    overlay = pictures.add_legend(overlay, shown, self.label_map)
    images.write_png(folder / f'{name}_overlay.png', overlay)
    for segment in segments:
      segment['category_id'] = self._category(segment['category_id'])
    self._written[name] = (ids.shape, segments)

  def finish(self, folder: epath.Path) -> None:
    """Writes panoptic.json, which tells the segments of all PNG files.

    It has `images`, `annotations` with `segments_info`, and `categories`, whose
    ids are those of the classes or, if they are to be used, the raw ids of the
    data set. `score` is our addition to a segment.

    Args:
      folder: that `write` wrote to.
    """
    if not self._written:
      return
    content = {
        'images': [
            {
                'id': self._image_id(name),
                'file_name': name,
                'height': height,
                'width': width,
            }
            for name, ((height, width), _) in self._written.items()
        ],
        'annotations': [
            {
                'image_id': self._image_id(name),
                'file_name': f'{name}.png',
                'segments_info': segments,
            }
            for name, (_, segments) in self._written.items()
        ],
        'categories': [
            {
                'id': self._category(i),
                'name': name,
                'supercategory': name,
                'isthing': int(i in self.label_map.things),
                'color': list(color),
            }
            for i, (name, color) in enumerate(
                zip(self.label_map.names, self.label_map.colors, strict=True)
            )
        ],
    }
    with atomic.replacing(folder / self.summary) as file:
      file.write(json.dumps(content, indent=1).encode())

  def _category(self, train_id):
    """Returns what files call a class."""
    return self._raw_ids.ids[train_id] if self._raw_ids else train_id

  def _image_id(self, name):
    """Returns what files call an image."""
    return self._raw_ids.image_id(name) if self._raw_ids else name

  def _paint(self, segments, classes):
    return pictures.segments(segments, classes, self.label_map.colors)


def _refuse_probabilities(probabilities):
  if probabilities:
    raise ValueError(
        'The task panoptic has segments, and no probabilities of pixels to'
        ' write: leave --probabilities out.'
    )


def truth_segments(
    example: dict, label_map: LabelMap
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the true segments of an example.

  Args:
    example: with `label` [H, W], `instances` [H, W], `instance_classes` [N] and
      `instance_crowds` [N]; see the module.
    label_map: says which classes are things.

  Returns:
    Segments [H, W] int32: i of 1..N is object i, and N + 1 + c the stuff of
    class c. Their classes and whether they are groups, both [N + K].

  Raises:
    ValueError: the example has no objects.
  """
  if 'instances' not in example:
    raise ValueError(
        f'{example["name"]} has no instances: set'
        ' config.dataset.options.instances, if the data set has it.'
    )
  label, instances = example['label'], example['instances']
  objects = np.asarray(example['instance_classes'])
  kinds = np.arange(label_map.num_classes)
  is_stuff = np.append(~_is_thing(label_map), False)
  # The last is ignored. Eight bits are too few for the numbers of segments.
  place = np.minimum(label.astype(np.int32), label_map.num_classes)
  stuff = np.where(is_stuff[place], len(objects) + 1 + place, 0)
  segments = np.where(instances > 0, instances, stuff).astype(np.int32)
  return (
      segments,
      np.concatenate([objects.astype(np.int32), kinds]),
      np.concatenate([example['instance_crowds'], np.zeros_like(kinds)]),
  )


def compact(prediction: dict) -> tuple[np.ndarray, list[dict]]:
  """Numbers the segments of an image from 1 on, without gaps.

  Args:
    prediction: see `Scores`.

  Returns:
    The map [H, W] int32, 0 for void, and for each number in it its `id`,
    `category_id`, `area`, `bbox`, x y width height, and `score`.
  """
  segments, classes = prediction['segments'], prediction['classes']
  ids = np.unique(segments)
  ids = ids[ids > 0]
  table = np.zeros(1 + len(classes), np.int32)
  table[ids] = 1 + np.arange(len(ids))
  numbers = table[segments]
  bounds, areas = box_data.bounds(numbers, len(ids))
  return numbers, [
      {
          'id': number + 1,
          'category_id': int(classes[i - 1]),
          'area': int(areas[number]),
          'bbox': [int(x) for x in (x0, y0, x1 - x0, y1 - y0)],
          'iscrowd': 0,
          'score': float(prediction['scores'][i - 1]),
      }
      for number, (i, (y0, x0, y1, x1)) in enumerate(
          zip(ids, bounds, strict=True)
      )
  ]


def encode(ids: np.ndarray) -> np.ndarray:
  """Returns ids [H, W] as RGB [H, W, 3] uint8: R + 256 G + 65536 B."""
  if ids.size and ids.max() >= 1 << 24:
    raise ValueError(f'The id {ids.max()} does not fit into three bytes.')
  return np.stack([ids >> shift & 255 for shift in (0, 8, 16)], -1).astype(
      np.uint8
  )


def scores(label_map: LabelMap, *, absent: str = 'skip') -> Scores:
  """Returns empty scores.

  Args:
    label_map: classes of the data set; it says which are things.
    absent: what means of the class of each pixel do with classes that do not
      occur. PQ always leaves them out.

  Raises:
    ValueError: no class is a thing, or there is no such convention.
  """
  _is_thing(label_map)
  return Scores(label_map, absent)


def _is_thing(label_map):
  """Returns which classes are counted objects, [K] booleans."""
  if not label_map.things:
    raise ValueError(
        'The task panoptic needs a data set that says which of its classes are'
        ' things, and this one, of'
        f' {", ".join(label_map.names[:5])}, does not.'
    )
  return np.isin(np.arange(label_map.num_classes), label_map.things)
