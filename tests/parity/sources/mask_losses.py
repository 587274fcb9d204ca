"""Matching and losses of Mask2Former in transformers 5.24, at given points."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops import mask_classification as ops
from segjax.ops.segment_matching import NOTHING
from tests.parity import reference
from tests.parity.case import FunctionCase

WEIGHTS = {'cls': 2.0, 'mask': 5.0, 'dice': 5.0}
POINTS, QUERIES, VOID = 64, 9, 5
# The original's first draw for each prediction, and its inputs' prefix.
LAYERS = {'': 0, '_aux': 4}


def draw(number, *shape):
  values = reference.generator(f'public:draw{number}').random(shape)
  return values.astype(np.float32)


def segments(inputs):
  """The segments, of which none overlap."""
  masks, kinds = inputs['segment_masks'], inputs['segment_labels']
  numbers = np.where(masks.any(-1), masks.argmax(-1), NOTHING)
  ids = np.where(kinds < 0, NOTHING, np.arange(kinds.shape[1]))
  return ops.Segments(*map(jnp.asarray, (numbers, ids, kinds.clip(0))))


def names(layer):
  prefix = 'aux_' if layer else ''
  return f'{prefix}class_logits', f'{prefix}mask_logits'


def queries(inputs, layer):
  """The query of each segment, -1 of one that is not there."""
  first, truth = LAYERS[layer], segments(inputs)
  points = [draw(first + i, 1, POINTS, 2) for i in (0, 1)]
  classes, masks = (jnp.asarray(inputs[name]) for name in names(layer))
  cost = ops.matching_cost(classes, masks, truth, np.concatenate(points))
  matched = ops.match(cost, truth.valid)
  return np.where(truth.valid, matched, -1)


def draws(matched, layer):
  """The points of each matched mask; their order is that of the queries."""
  first = LAYERS[layer]
  pairs = np.sort(np.where(matched < 0, QUERIES, matched), 1)
  rows = [(b, q) for b, row in enumerate(pairs) for q in row if q < QUERIES]
  drawn = np.concatenate(
      [
          draw(first + 2, len(rows), 3 * POINTS, 2),
          draw(first + 3, len(rows), POINTS // 4, 2),
      ],
      1,
  )
  out = np.zeros((*matched.shape, *drawn.shape[1:]), np.float32)
  for row, (b, q) in zip(drawn, rows, strict=True):
    out[b, np.flatnonzero(matched[b] == q)[0]] = row
  return out


@functools.partial(jax.jit, static_argnums=0)
def losses(layer, logits, truth, matched, drawn):
  """{name: loss} of a prediction."""
  classes, masks = names(layer)
  entropy, weight = ops.class_sums(logits[classes], truth, matched)
  mask, dice = ops.mask_sums(logits[masks], truth, matched, drawn, count=POINTS)
  count = truth.valid.sum()
  return {
      f'loss_cross_entropy{layer}': entropy / weight,
      f'loss_mask{layer}': mask / count,
      f'loss_dice{layer}': dice / count,
  }


def all_losses(inputs):
  """Returns a function of the logits, and the logits."""
  truth = segments(inputs)
  given = {}
  for layer in LAYERS:
    matched = queries(inputs, layer)
    # Segments that are not there take queries that are left, as ours do.
    for row in matched:
      left = sorted(set(range(QUERIES)) - set(row.tolist()))
      row[row < 0] = left[: (row < 0).sum()]
    given[layer] = matched, draws(queries(inputs, layer), layer)

  def compute(logits):
    parts = {}
    for layer, arguments in given.items():
      parts |= losses(layer, logits, truth, *arguments)
    kinds = 'cls', 'mask', 'dice'
    total = sum(
        WEIGHTS[kind] * part
        for layer in LAYERS
        for kind, part in zip(
            kinds,
            losses(layer, logits, truth, *given[layer]).values(),
            strict=True,
        )
    )
    return total, parts

  logits = {
      name: jnp.asarray(inputs[name])
      for layer in LAYERS
      for name in names(layer)
  }
  return compute, logits


def values(inputs):
  total, parts = all_losses(inputs)[0](all_losses(inputs)[1])
  return total, *(parts[name] for name in PARTS)


def gradients(inputs):
  compute, logits = all_losses(inputs)
  found, _ = jax.grad(compute, has_aux=True)(logits)
  return tuple(found[name] for name in LOGITS)


PARTS = tuple(
    f'loss_{kind}{layer}'
    for layer in LAYERS
    for kind in ('cross_entropy', 'mask', 'dice')
)
LOGITS = tuple(name for layer in LAYERS for name in names(layer))

CASES = {
    'mask2former_losses': FunctionCase(
        {
            **{
                f'matched_query{layer}': functools.partial(queries, layer=layer)
                for layer in LAYERS
            },
            ('total', *PARTS): values,
            tuple(f'grad_{name}' for name in LOGITS): gradients,
        },
        within=1e-4,
    ),
}
