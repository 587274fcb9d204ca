"""Preprocessing by a string: 'random_scale(0.5, 2.0)|random_crop(512)|flip'.

An op is a frozen dataclass, a `grain.transforms.Map` or `RandomMap`, from
features to features: {'image': [H, W, C], 'label': [H, W], ...}. One that moves
pixels moves all fields of an example, each as its kind in `segjax.data.fields`
says, and leaves other entries alone. An op that derives a target from the label
says in `derives` which field it adds, as `border_weights` adds 'weight'; it
comes after those that move pixels; crops and flips may follow one that is
`movable`. One that is `on_truth` is given the truth in evaluation, too. A `Mix`
is given other examples of the split, in training alone.

The spec names an op and its fields, as literals: `resize(512, mode='short')`.
Sizes are height, width; one number is a square. The defaults are mmseg 1.2.2's
where it has any. README.md lists all ops.

In training, passes over the images may take parts of a spec in turn, as in
`in_turn(resize(512, 1024), resize(256, 512))|flip|normalize`; see `in_turn`.
"""

import ast
import functools
import inspect

import cv2
import grain

from segjax import specs
from segjax.data.image import BadExample
from segjax.data.transforms.color import Bgr
from segjax.data.transforms.color import Blur
from segjax.data.transforms.color import Clahe
from segjax.data.transforms.color import Cutout
from segjax.data.transforms.color import Gamma
from segjax.data.transforms.color import Normalize
from segjax.data.transforms.color import Photometric
from segjax.data.transforms.edges import Canny
from segjax.data.transforms.edges import Directions
from segjax.data.transforms.geometry import ClassBalancedCrop
from segjax.data.transforms.geometry import Crop
from segjax.data.transforms.geometry import CutBorder
from segjax.data.transforms.geometry import Elastic
from segjax.data.transforms.geometry import Flip
from segjax.data.transforms.geometry import GridDistortion
from segjax.data.transforms.geometry import Pad
from segjax.data.transforms.geometry import RandomCrop
from segjax.data.transforms.geometry import RandomResize
from segjax.data.transforms.geometry import RandomScale
from segjax.data.transforms.geometry import RandomShort
from segjax.data.transforms.geometry import Resize
from segjax.data.transforms.geometry import Rotate
from segjax.data.transforms.geometry import ScaledCrop
from segjax.data.transforms.geometry import Sized
from segjax.data.transforms.masks import FixedMasks
from segjax.data.transforms.masks import PerturbedMasks
from segjax.data.transforms.mix import CopyPaste
from segjax.data.transforms.mix import CutMix
from segjax.data.transforms.mix import Mix
from segjax.data.transforms.mix import Mosaic
from segjax.data.transforms.objects import LabelProposals
from segjax.data.transforms.objects import ObjectCrop
from segjax.data.transforms.targets import Centers
from segjax.data.transforms.targets import Objects
from segjax.data.transforms.weights import BorderWeights

OPS = {
    'bgr': Bgr,
    'blur': Blur,
    'border_weights': BorderWeights,
    'canny': Canny,
    'centers': Centers,
    'clahe': Clahe,
    'class_balanced_crop': ClassBalancedCrop,
    'copy_paste': CopyPaste,
    'cut_border': CutBorder,
    'cutmix': CutMix,
    'cutout': Cutout,
    'directions': Directions,
    'elastic': Elastic,
    'fixed_masks': FixedMasks,
    'flip': Flip,
    'gamma': Gamma,
    'grid_distortion': GridDistortion,
    'label_proposals': LabelProposals,
    'mosaic': Mosaic,
    'normalize': Normalize,
    'object_crop': ObjectCrop,
    'objects': Objects,
    'pad': Pad,
    'perturbed_masks': PerturbedMasks,
    'photometric': Photometric,
    'random_crop': RandomCrop,
    'random_scale': RandomScale,
    'random_short': RandomShort,
    'resize': Resize,
    'rotate': Rotate,
}


def parse(spec):
  """Returns the ops of a spec, a tuple; a ValueError says what is wrong."""
  steps = _steps(spec)
  if any(map(_is_in_turn, steps)):
    raise ValueError(
        f'{spec!r}: in_turn is for config.preprocess.train, since passes of'
        ' training take its parts in turn. Write one of them here.'
    )
  ops = tuple(map(_op, steps))
  _check_order(ops)
  return ops


def in_turn(spec):
  """Returns the specs that passes over the training examples take in turn.

  They are those with each part of an `in_turn(...)` in its place:
  'in_turn(resize(64)|rotate, resize(32))|flip' has 'resize(64)|rotate|flip' and
  'resize(32)|flip'. A spec without one is the only spec.
  """
  steps = _steps(spec)
  places = [i for i, step in enumerate(steps) if _is_in_turn(step)]
  if not places:
    return (spec,)
  (place, *more), call = places, steps[places[0]]
  if more or call.keywords or not call.args:
    raise ValueError(
        f'{spec!r}: in_turn is written once, with ops as its arguments, such as'
        " 'in_turn(resize(64)|rotate, resize(32))|flip|normalize'."
    )
  before, after = steps[:place], steps[place + 1 :]
  return tuple(
      '|'.join(map(ast.unparse, (*before, *_chain(part), *after)))
      for part in call.args
  )


def _is_in_turn(step):
  """Tells whether a step of a spec, a syntax tree, is an `in_turn(...)`."""
  return isinstance(step, ast.Call) and ast.unparse(step.func) == 'in_turn'


def _steps(spec):
  """Returns the steps of a spec, a list of syntax trees."""
  try:
    node = ast.parse(f'({spec})', mode='eval').body
  except SyntaxError as error:
    raise ValueError(
        f'Cannot read {spec!r}: write ops with literal arguments and a | '
        "between them, such as 'random_crop(512)|flip|normalize'."
    ) from error
  return _chain(node)


def _chain(node):
  """Returns the syntax trees between the | of one, a list."""
  steps = []
  while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
    steps.append(node.right)
    node = node.left
  return [node, *reversed(steps)]


def fuse(ops):
  """Replaces resizings and the crop after them by one `ScaledCrop`.

  Only the pixels of the crop are computed then, which takes less than half the
  time for a 512 x 1024 crop of Cityscapes. The draws are the same, and so are
  the labels; the image is the same up to rounding.
  """
  fused, resizings = [], []
  for op in ops:
    if isinstance(op, Resize | RandomResize):
      resizings.append(op)
      continue
    if resizings and isinstance(op, Crop):
      fused.append(ScaledCrop(tuple(resizings), op))
    else:
      fused += [*resizings, op]
    resizings = []
  return (*fused, *resizings)


def apply(ops, features, rng=None, draw=None):
  """Applies ops in turn.

  Args:
    ops: from `parse`.
    features: of an example.
    rng: a NumPy Generator, which random ops draw from.
    draw: function from a Generator to any example of the split as it is read,
      for ops that mix examples.
  """
  for i, op in enumerate(ops):
    if isinstance(op, Mix) and draw is not None:
      other = functools.partial(_other, ops[:i], rng, draw)
      features = op.maybe_mix(features, other, rng)
    elif isinstance(op, grain.transforms.RandomMap):
      features = op.random_map(features, rng)
    else:
      features = op.map(features)
  return features


def _other(ops, rng, draw):
  """Returns another example after ops; an error names it."""
  features = draw(rng)
  try:
    return apply(ops, features, rng, draw)
  except BadExample:  # Of an example that is mixed with this one.
    raise
  except (ValueError, cv2.error) as error:
    raise ValueError(f'with {features["name"]} mixed in: {error}') from error


def static_size(ops):
  """Returns the height and width that no label exceeds after the ops.

  A train spec must have them. Its last crop, pad or exact resize decides.
  """
  for op in reversed(ops):
    if isinstance(op, RandomResize) or getattr(op, 'mode', 'exact') != 'exact':
      break
    if isinstance(op, Sized):
      return op.size
  raise ValueError(
      'The images would differ in size: after the last random resizing, or one'
      ' that keeps the shape, there must be a random_crop, a'
      " class_balanced_crop, a pad, or a resize in mode 'exact'."
  )


def halo(ops):
  """Returns how much larger the image is than the label on each side."""
  return sum(getattr(op, 'halo', 0) for op in ops)


def _check_order(ops):
  """Raises if an op cannot come after those before it."""
  names = {kind: name for name, kind in OPS.items()}
  for i, op in enumerate(ops):
    moves = isinstance(
        op,
        Sized
        | RandomResize
        | CutBorder
        | Rotate
        | Elastic
        | GridDistortion
        | Mix,
    )
    if moves and halo(ops[:i]):
      raise ValueError(
          f'{names[type(op)]} must come before the crop with a halo, which'
          ' leaves an image that is larger than its label.'
      )
    keeps_distances = isinstance(op, Crop | Pad | Flip)
    derived = [
        before
        for before in ops[:i]
        if hasattr(before, 'derives')
        and not (keeps_distances and getattr(before, 'movable', False))
    ]
    if derived and (moves or isinstance(op, Flip)):
      raise ValueError(
          f'{names[type(op)]} must come before {names[type(derived[0])]}, whose'
          f' {derived[0].derives[0]} is made of pixels where they lie.'
      )


def _op(node):
  """Builds the op that one step of a spec, a syntax tree, names."""
  name, fields = specs.parse(node, OPS, 'op')
  try:
    return OPS[name](**fields)
  except (TypeError, ValueError) as error:
    raise ValueError(
        f'{ast.unparse(node)}: {error}. It is used as'
        f' {name}{inspect.signature(OPS[name])}.'
    ) from error
