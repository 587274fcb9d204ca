"""Panoptic-DeepLab of bowenc0221: before and after the network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from segjax import losses
from segjax.data.label_map import IGNORE
from segjax.data.label_map import LabelMap
from segjax.data.transforms.targets import Centers
from segjax.ops import panoptic as ops
from segjax.tasks import panoptic
from tests.parity.case import FunctionCase

THINGS = (3, 4, 5)
LABELS = LabelMap(
    names=tuple('abcdef'),
    colors=((0, 0, 0),) * 6,
    ids={i: i for i in range(6)},
    things=THINGS,
)
VOID, DIVISOR = 255_000, 1000
SETTINGS = {
    'k7': dict(nms=7),
    'k3': dict(nms=3),
    'k3_top5': dict(nms=3, top_k=5),
    'thr3': dict(threshold=0.3, nms=7),
}


def predicted(inputs, empty=False, **options):
  """What the task makes of the outputs, as arrays of the one image."""
  center = inputs['center'][..., 0]
  out = {
      'logits': inputs['sem_logits'],
      'center': np.zeros_like(center) if empty else center,
      'offset': inputs['offset'],
  }
  function = functools.partial(
      panoptic.predict, label_map=LABELS, stuff_area=40, **options
  )
  result = jax.jit(function)(jax.tree.map(lambda x: x[None], out))
  return {name: np.asarray(x[0]) for name, x in result.items()}


def centers(inputs, threshold=0.1, nms=7, top_k=200):
  points, count = ops.find_centers(
      inputs['center'][..., 0], threshold=threshold, nms=nms, top_k=top_k
  )
  return points[:count]


def instances(inputs, threshold=0.1, nms=7, top_k=200):
  points, count = ops.find_centers(
      inputs['center'][..., 0], threshold=threshold, nms=nms, top_k=top_k
  )
  groups = ops.group(inputs['offset'], points, count)
  return np.where(np.isin(inputs['sem_logits'].argmax(-1), THINGS), groups, 0)


def numbered(inputs, **options):
  """Segments as class * 1000 + the how-manieth object of the class."""
  result = predicted(inputs, **options)
  ids = np.full(result['segments'].shape, VOID)
  counted = dict.fromkeys(range(6), 0)
  rows = []  # Of objects: their number, class and score.
  for i in np.setdiff1d(result['segments'], 0):
    kind = int(result['classes'][i - 1])
    number = kind * DIVISOR
    if kind in THINGS:
      counted[kind] += 1
      number += counted[kind]
      rows.append((number, kind, result['scores'][i - 1]))
    ids[result['segments'] == i] = number
  return ids, sorted(rows)


def column(index):
  """Returns a function of the inputs: a column of the objects' rows."""
  return lambda inputs: [row[index] for row in numbered(inputs)[1]]


def factor(name):
  """Returns a function of the inputs: one factor of the objects' scores."""

  def scores(inputs):
    segments, table = (
        jnp.asarray(predicted(inputs)[key]) for key in ('segments', 'classes')
    )
    if name == 'class':
      values = panoptic.class_scores(inputs['sem_logits'], segments, table)
    else:
      values = panoptic.center_scores(
          inputs['center'][..., 0], segments, len(table)
      )
    order = np.argsort(table, kind='stable')
    return [values[i] for i in order if table[i] in THINGS]

  return scores


def targets(inputs, prefix, classes, **options):
  """Applies the op to ids and rows of id, class and whether it is a group."""
  ids, rows = inputs[f'{prefix}ids'], inputs[f'{prefix}segments']
  label = np.full(ids.shape, IGNORE, np.uint8)
  objects = np.zeros(ids.shape, np.int32)
  crowds = np.zeros(len(rows), np.uint8)
  for number, (i, kind, crowd) in enumerate(rows, 1):
    label[ids == i] = kind
    if kind in classes:
      objects[ids == i] = number
      crowds[number - 1] = crowd
  example = {'label': label, 'instances': objects, 'instance_crowds': crowds}
  return Centers(**options).map(example)


def weights(example):
  """Which pixels count for the heat map and for the offsets, [H, W] each."""
  crowd = np.append(0, example['instance_crowds'])[example['instances']]
  center = (crowd == 0) & (example['label'] != IGNORE)
  return center, center & (example['instances'] > 0)


def loss(inputs, example, gradient='', fraction=0.2):
  """The loss and its parts, or the gradient for one input."""

  def total(given):
    out = {
        'logits': given['sem_logits'],
        'aux': {},
        'center': given['center'][..., 0],
        'offset': given['offset'],
    }
    batch = {
        name: jnp.asarray(x)[None]
        for name, x in example.items()
        if name != 'name'
    }
    return panoptic.loss(
        jax.tree.map(lambda x: x[None], out),
        batch,
        None,
        pixel=losses.build(f'hardest_cross_entropy(fraction={fraction})'),
    )

  names = 'sem_logits', 'center', 'offset'
  given = {name: jnp.asarray(inputs[name]) for name in names}
  if gradient:
    return jax.grad(lambda given: total(given)[0])(given)[gradient]
  value, parts = total(given)
  return {
      'loss': value,
      'loss_total': value,
      'loss_semantic': parts['hardest_cross_entropy'],
      'loss_center': 200 * parts['center'],
      'loss_offset': 0.01 * parts['offset'],
  }


def post_target(inputs):
  return targets(
      inputs, 'target_', THINGS, sigma=3.0, small_area=80, small_weight=3.0
  )


def without(example, name):
  return {key: array for key, array in example.items() if key != name}


def mean_places(example):
  """The exact centres of the objects that have a pixel, in their order."""
  ids = example['instances']
  y, x = np.indices(ids.shape)
  at = np.stack([y, x], -1) + example['offsets']
  return [at[ids == i][0] for i in np.setdiff1d(ids, 0)]


FULL = dict(sigma=8.0, small_area=0, small_weight=1.0)
CITYSCAPES = dict(sigma=8.0, small_area=60, small_weight=3.0)
NO_CROWD = dict(sigma=5.0, small_area=60, small_weight=3.0, ignore_crowds=True)


def of(setting, function):
  """Returns a function of the inputs: of the targets under a setting."""
  return lambda inputs: function(targets(inputs, '', THINGS, **setting))


def loss_of(setting, name):
  return lambda inputs: loss(inputs, targets(inputs, '', THINGS, **setting))[
      name
  ]


def gradient_of(setting, name):
  return lambda inputs: loss(
      inputs, targets(inputs, '', THINGS, **setting), name
  )


def of_setting(name, setting):
  """The losses and their gradients under a setting."""
  parts = ('loss', 'loss_semantic', 'loss_center', 'loss_offset')
  return {f'{part}_{name}': loss_of(setting, part) for part in parts} | {
      f'grad_{part}_{name}': gradient_of(setting, part)
      for part in ('sem_logits', 'center', 'offset')
  }


def of_target(function):
  """Returns a function of the inputs: of the targets of the other fixture."""
  return lambda inputs: function(post_target(inputs))


def loss_of_target(name):
  return lambda inputs: [loss(inputs, post_target(inputs))[name]]


TARGETS = {
    'semantic': lambda example: example['label'],
    'semantic_weights': lambda example: example['weight'],
    'center_weights': lambda example: weights(example)[0],
    'offset_weights': lambda example: weights(example)[1],
    'foreground': lambda example: example['instances'] > 0,
    'center': lambda example: example['centers'][..., None],
    'offset': lambda example: example['offsets'],
    'center_points': mean_places,
}
LOSSES = ('loss_total', 'loss_semantic', 'loss_center', 'loss_offset')
CASES = {
    'panoptic_deeplab_post': FunctionCase(
        {
            'semantic': lambda inputs: inputs['sem_logits'].argmax(-1),
            **{
                f'{name}_{setting}': functools.partial(function, **options)
                for setting, options in SETTINGS.items()
                for name, function in {
                    'centers': centers,
                    'instance': instances,
                    'panoptic': lambda inputs, **o: numbered(inputs, **o)[0],
                }.items()
            },
            'panoptic_no_center': lambda inputs: numbered(inputs, empty=True)[
                0
            ],
            'ap_instance_ids': column(0),
            'ap_instance_class': column(1),
            'ap_score_both': column(2),
            'ap_score_semantic': factor('class'),
            'ap_score_instance': factor('center'),
            **{
                f'target_{name}': of_target(function)
                for name, function in TARGETS.items()
            },
            **{name: loss_of_target(name) for name in LOSSES},
            # Of all pixels, the original takes no weights.
            'loss_semantic_topk1': lambda inputs: [
                loss(
                    inputs, without(post_target(inputs), 'weight'), fraction=1.0
                )['loss_semantic']
            ],
        }
    ),
    'panoptic_targets': FunctionCase(
        {
            **{
                f'{name}_full': of(FULL, TARGETS[name])
                for name in (
                    *('semantic', 'foreground', 'center', 'offset'),
                    *('center_weights', 'center_points'),
                )
            },
            **{
                f'{name}_cityscapes': of(CITYSCAPES, TARGETS[name])
                for name in ('semantic_weights', 'offset_weights')
            },
            **{
                f'{name}_no_crowd': of(NO_CROWD, TARGETS[name])
                for name in ('semantic', 'center')
            },
            **of_setting('cityscapes', CITYSCAPES),
            **of_setting('no_crowd', NO_CROWD),
        },
        # No recipe of ours learns offsets of stuff.
        uncompared=('offset_weights_full',),
    ),
}
