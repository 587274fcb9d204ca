"""The embedded set: scenes of overlapping shapes, drawn from an index.

There are no files: a scene is a pure function of (split, index), the same in
every run and on every machine. The colours of the classes overlap so widely
that it takes the outline of an object to tell what it is.
"""

import dataclasses

import cv2
import numpy as np

from segjax.data import datasets
from segjax.data.datasets import files
from segjax.data.label_map import IGNORE
from segjax.data.label_map import LabelMap

LENGTHS = {'train': 8192, 'val': 256}
SEEDS = {'train': 1, 'val': 2}


def _polygon(corners, turn=0.0, radii=(1.0,)):
  """Returns [corners, 2] points (x, y) around 0, their radii repeating."""
  angle = 2 * np.pi * (np.arange(corners) / corners + turn)
  points = np.stack([np.cos(angle), np.sin(angle)], -1)
  return points * np.resize(radii, (corners, 1))


def _plus(arm):
  """Returns the [12, 2] points of a plus sign with arms 2 * `arm` wide."""
  corner = np.array([(1, -arm), (1, arm), (arm, arm)])
  turn = np.array([(0, 1), (-1, 0)])
  return np.concatenate(
      [corner @ np.linalg.matrix_power(turn, k) for k in range(4)]
  )


@dataclasses.dataclass(frozen=True)
class Kind:
  """How the objects of a class look.

  Attributes:
    contours: polygons [V, 2] of (x, y) around 0; a second one is a hole.
    color: of the class in pictures of labels.
    hue: in [0, 1), what the hue of the objects scatters around.
    length: of the first axis, relative to the other classes.
    width: range of the second axis, relative to the first.
  """

  contours: tuple[np.ndarray, ...]
  color: tuple[int, int, int]
  hue: float
  length: float = 1.0
  width: tuple[float, float] = (0.8, 1.0)


DISK = _polygon(40)
SQUARE = _polygon(4, turn=1 / 8)
STAR = _polygon(10, radii=(1.0, 0.45))
SPECK = _polygon(7)

KINDS = {
    'disk': Kind((DISK,), (228, 87, 86), hue=0 / 7),
    'box': Kind((SQUARE,), (242, 156, 62), hue=1 / 7, width=(0.5, 1.0)),
    'triangle': Kind((_polygon(3),), (237, 210, 72), hue=2 / 7, length=1.15),
    'ring': Kind((DISK, 0.5 * DISK), (89, 168, 92), hue=3 / 7),
    'cross': Kind((_plus(0.32),), (76, 182, 190), hue=4 / 7),
    'star': Kind((STAR,), (78, 121, 190), hue=5 / 7, length=1.15),
    'stick': Kind(
        (SQUARE,), (176, 122, 196), hue=6 / 7, length=1.6, width=(0.12, 0.16)
    ),
}

LABEL_MAP = LabelMap(
    names=('background', *KINDS),
    colors=((70, 74, 82), *(kind.color for kind in KINDS.values())),
    ids={i: i for i in range(len(KINDS) + 1)} | {IGNORE: IGNORE},
    things=tuple(range(1, len(KINDS) + 1)),
)


@dataclasses.dataclass(frozen=True)
class Level:
  """What makes a scene hard; see `EASY` and `HARD`, the two ends."""

  min_objects: float
  max_objects: float
  length: float  # Mean, relative to the shorter side of the image.
  turn: float  # 0 keeps every object upright, 1 turns it any way.
  clutter: float
  contrast: float
  texture: float
  noise: float


EASY = Level(2, 3, 0.30, 0.0, clutter=4, contrast=1.0, texture=12, noise=4)
HARD = Level(8, 15, 0.18, 1.0, clutter=60, contrast=0.5, texture=40, noise=40)
HUE_SPREAD = 0.08  # Standard deviation; the classes are 1/7 apart.


def level_at(difficulty):
  """Returns the `Level` at `difficulty` of the way from `EASY` to `HARD`."""
  if not 0 <= difficulty <= 1:
    raise ValueError(f'difficulty is {difficulty}, expected a number in [0, 1]')
  easy, hard = dataclasses.astuple(EASY), dataclasses.astuple(HARD)
  return Level(
      *(a + difficulty * (b - a) for a, b in zip(easy, hard, strict=True))
  )


@dataclasses.dataclass(frozen=True)
class Scene:
  """A drawn image and all that is known about it.

  Attributes:
    image: [H, W, 3], uint8.
    label: [H, W], uint8 class ids; `IGNORE` on the seam of two objects.
    instances: [H, W], uint8; object i of `boxes` and `classes` has the id
      i + 1, and 0 is background or a seam.
    boxes: [N, 4], int32 y0 x0 y1 x1 of the visible pixels, ends exclusive.
    classes: [N], uint8 class ids.
  """

  image: np.ndarray
  label: np.ndarray
  instances: np.ndarray
  boxes: np.ndarray
  classes: np.ndarray


def draw(rng, size, level):
  """Returns a `Scene` of `size` (height, width) that depends on `rng` alone.

  The outlines are painted as numbered parts into one plane: 0 is the ground,
  then come the pieces of clutter, then the objects. Colour, texture, class and
  instance are tables that this plane looks up.
  """
  parts = np.zeros(size, np.uint8)
  clutter = round(level.clutter * rng.uniform(0.5, 1.0))
  objects = round(rng.uniform(level.min_objects, level.max_objects))
  kinds = rng.integers(len(KINDS), size=objects)
  _paint_clutter(rng, parts, clutter)
  _paint_objects(rng, parts, kinds, level, first=clutter + 1)

  image = _render(rng, parts, _colors(rng, clutter, kinds, level), level)
  ids = np.concatenate([np.zeros(clutter + 1), np.arange(objects) + 1])
  return Scene(image, *_annotate(ids.astype(np.uint8)[parts], kinds + 1))


def _fill(parts, part, contours, center, scale, turn):
  """Fills polygons that are scaled, then turned, then moved to `center`."""
  cos, sin = np.cos(turn), np.sin(turn)
  place = np.array([(cos, sin), (-sin, cos)]) * np.reshape(scale, (2, 1))
  # OpenCV takes fixed-point corners, here with 4 bits after the point.
  contours = [np.rint(16 * (c @ place + center)).astype(int) for c in contours]
  cv2.fillPoly(parts, contours, int(part), shift=4)


def _paint_clutter(rng, parts, count):
  """Paints specks and hairlines that mean nothing, as parts 1 to `count`."""
  height, width = parts.shape
  centers = rng.uniform(0, (width, height), (count, 2))
  turns = rng.uniform(0, 2 * np.pi, count)
  lengths = min(height, width) * rng.uniform(0.02, 0.05, count)
  radii = rng.uniform(0.3, 1.0, (count, len(SPECK), 1))
  hairline = rng.random(count) < 0.4
  scales = np.where(hairline, [[5], [0]], [[1], [1]]) * lengths
  for i in range(count):
    speck = [radii[i] * SPECK]
    _fill(parts, i + 1, speck, centers[i], scales[:, i], turns[i])


def _paint_objects(rng, parts, kinds, level, first):
  """Paints one object for each of `kinds`, as parts `first` and after."""
  height, width = parts.shape
  kinds_by_id = list(KINDS.values())
  centers = np.empty((0, 2))
  for part, k in enumerate(kinds, first):
    kind = kinds_by_id[k]
    # The loneliest of a few places: objects overlap but seldom bury others.
    places = rng.uniform(0.15, 0.85, (6, 2)) * (width, height)
    gaps = np.linalg.norm(places[:, None] - centers, axis=-1)
    center = places[gaps.min(-1, initial=np.inf).argmax()]
    centers = np.concatenate([centers, [center]])

    length = level.length * min(height, width) * rng.uniform(0.7, 1.3)
    length *= kind.length
    scale = length, length * rng.uniform(*kind.width)
    turn = level.turn * rng.uniform(-np.pi, np.pi)
    _fill(parts, part, kind.contours, center, scale, turn)


def _colors(rng, clutter, kinds, level):
  """Returns a colour for each part: [1 + clutter + objects, 3], 0 to 255."""
  hues = np.array([kind.hue for kind in KINDS.values()])[kinds]
  hues = rng.normal(hues, HUE_SPREAD)
  hue = np.concatenate([rng.random(1 + clutter), hues])[:, None]
  saturation = rng.uniform(0.4, 0.95, hue.shape)
  value = rng.uniform(110, 255, hue.shape)
  saturation[0], value[0] = rng.uniform(0.0, 0.3), rng.uniform(70, 170)

  wheel = 0.5 - 0.5 * np.cos(2 * np.pi * (hue + np.array([0, 2, 1]) / 3))
  colors = value * (1 - saturation * wheel)
  return colors[0] + level.contrast * (colors - colors[0])


def _render(rng, parts, colors, level):
  """Returns the image [H, W, 3]: colour, texture, light, blur and noise."""
  height, width = parts.shape
  shade = np.zeros(parts.shape, np.float32)
  for cell in (16, 4):  # Clouds and grain, of another strength on each part.
    grid = (height // cell + 2, width // cell + 2)
    field = rng.integers(256, size=grid, dtype=np.uint8)
    field = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
    strength = rng.uniform(0, level.texture / 128, len(colors))
    shade += strength.astype(np.float32).take(parts) * (field - np.float32(128))

  tilt = rng.uniform(-0.5, 0.5, 2).astype(np.float32)
  y = tilt[0] * np.linspace(-0.5, 0.5, height, dtype=np.float32)
  x = tilt[1] * np.linspace(-0.5, 0.5, width, dtype=np.float32)
  light = 1 + y[:, None] + x

  planes = colors.T.astype(np.float32).take(parts, axis=1)
  planes = np.clip((planes + shade) * light, 0, 255).astype(np.uint8)
  image = cv2.GaussianBlur(cv2.merge(planes), (3, 3), 0)
  noise = rng.integers(-128, 128, size=image.shape, dtype=np.int8)
  image = image + np.float32(level.noise / 128) * noise
  return np.clip(image, 0, 255).astype(np.uint8)


def _annotate(ids, classes):
  """Returns label, instances, boxes and classes of the visible objects.

  Args:
    ids: [H, W], uint8; 0 is background, i + 1 the object i of `classes`.
    classes: [N], class ids.
  """
  seam = np.zeros(ids.shape, bool)
  right, down = ids[:, 1:], ids[1:]
  seam[:, :-1] |= (ids[:, :-1] != right) & (ids[:, :-1] > 0) & (right > 0)
  seam[:-1] |= (ids[:-1] != down) & (ids[:-1] > 0) & (down > 0)
  ids = np.where(seam, 0, ids)

  # An object that others hide gets no id, so that the ids stay dense.
  pixels = np.bincount(ids.ravel(), minlength=1 + len(classes))
  visible = np.flatnonzero(pixels[1:])
  dense = np.zeros(1 + len(classes), np.uint8)
  dense[1 + visible] = 1 + np.arange(len(visible))
  instances, classes = dense[ids], classes[visible].astype(np.uint8)

  boxes = np.zeros((len(classes), 4), np.int32)
  for i in range(len(classes)):
    x, y, w, h = cv2.boundingRect((instances == i + 1).view(np.uint8))
    boxes[i] = y, x, y + h, x + w
  label = np.concatenate([[0], classes]).astype(np.uint8)[instances]
  label[seam] = IGNORE
  return label, instances, boxes, classes


def propose(rng, scene, count):
  """Returns regions that a good method would propose for a scene.

  Each visible object comes once nearly as it is, as far as there is room. The
  rest is worse: objects moved, cut or merged with another, and disks anywhere.
  The order means nothing.

  Args:
    rng: what the regions depend on, beside the scene.
    scene: a `Scene`.
    count: N.

  Returns:
    [H, W, N], uint8.
  """
  objects = [scene.instances == i + 1 for i in range(len(scene.boxes))]
  rng.shuffle(objects)
  regions = [_reshaped(rng, mask, 1) for mask in objects[:count]]
  while len(regions) < count:
    kind = rng.integers(4) if objects else 3
    if kind == 3:  # A disk anywhere.
      region = np.zeros(scene.label.shape, np.uint8)
      center = rng.uniform(0, region.shape[::-1])
      radius = min(region.shape) * rng.uniform(0.05, 0.2)
      _fill(region, 1, [DISK], center, (radius, radius), 0.0)
    else:
      region = objects[rng.integers(len(objects))]
      height, width = (np.ptp(axis) + 1 for axis in np.nonzero(region))
      if kind == 0:
        shift = rng.uniform(-0.5, 0.5, 2) * (height, width)
        region = _moved(region, np.rint(shift).astype(int))
      elif kind == 1:  # What is on one side of the middle of its box.
        shift = rng.choice([-1, 1]) * height // 2, 0
        region = region & _moved(_boxed(region), shift)
      else:
        region = region | objects[rng.integers(len(objects))]
      region = _reshaped(rng, region, 3)
    regions.append(region)
  order = rng.permutation(count)
  return np.stack(regions, -1).astype(np.uint8)[..., order]


def _reshaped(rng, region, most):
  """Returns a region [H, W] that is up to `most` pixels thicker or thinner."""
  width = rng.integers(-most, most, endpoint=True)
  change = cv2.dilate if width > 0 else cv2.erode
  kernel = np.ones((2 * abs(width) + 1,) * 2, np.uint8)
  changed = change(region.astype(np.uint8), kernel)
  return changed if changed.any() else region


def _moved(region, shift):
  """Returns a region [H, W] moved by whole pixels, empty where it was."""
  matrix = np.array([(1, 0, shift[1]), (0, 1, shift[0])], np.float64)
  moved = cv2.warpAffine(
      region.astype(np.uint8),
      matrix,
      region.shape[::-1],
      flags=cv2.INTER_NEAREST,
  )
  return moved > 0


def _boxed(region):
  """Returns the filled box of a region [H, W]."""
  rows, columns = region.any(1), region.any(0)
  return rows[:, None] & columns


class Shapes(datasets.Dataset):
  """Scenes drawn on demand; `scene(i)` has more than `self[i]` gives."""

  label_map = LABEL_MAP

  def __init__(
      self, split, size, length, difficulty, proposals=0, instances=False
  ):
    self.split = split
    self.proposals = proposals
    self.instances = instances
    self.size = tuple(size)
    self.length = length
    self.level = level_at(difficulty)

  def __len__(self):
    return self.length

  def scene(self, i):
    """Returns the `Scene` i of this split."""
    if not 0 <= i < self.length:
      raise IndexError(f'shapes/{self.split} has {self.length} scenes, not {i}')
    rng = np.random.default_rng((SEEDS[self.split], i))
    return draw(rng, self.size, self.level)

  def __getitem__(self, i):
    scene = self.scene(i)
    name = f'{self.split}_{i:06d}'
    features = {'image': scene.image, 'label': scene.label, 'name': name}
    if self.proposals:
      rng = np.random.default_rng((SEEDS[self.split], i, self.proposals))
      features['proposals'] = propose(rng, scene, self.proposals)
    if self.instances:
      classes = np.full(round(self.level.max_objects), IGNORE, np.uint8)
      classes[: len(scene.classes)] = scene.classes
      features['instances'] = scene.instances.astype(np.int32)
      features['instance_classes'] = classes
      features['instance_crowds'] = np.zeros(len(classes), np.uint8)
    return features


def load(
    split,
    root='',
    *,
    size=(96, 128),
    length=None,
    difficulty=0.1,
    proposals=0,
    instances=False,
):
  """Returns the split 'train' or 'val'.

  Args:
    split: 'train' or 'val'.
    root: not used; the set needs no files.
    size: height and width of a scene.
    length: number of scenes; by default that of `LENGTHS`.
    difficulty: in [0, 1], from few clean objects to many noisy ones.
    proposals: regions to propose for a scene; see `propose`.
    instances: whether examples have `instances` [H, W], int32, 0 where there is
      no object and i on object i; `instance_classes` [N], the classes of
      objects 1 to N, 255 for those that the scene does not have; and
      `instance_crowds` [N], 0: none is a group.
  """
  files.check_split('shapes', split, LENGTHS)
  length = LENGTHS[split] if length is None else length
  return Shapes(split, size, length, difficulty, proposals, instances)
