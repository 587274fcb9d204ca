"""Losses, one file each, and weighted sums of them written as a string.

`build('cross_entropy(label_smoothing=0.1) + 0.5 * dice(squared=True)')`

A loss is a function of logits [B, H, W, K] and integer labels [B, H, W]. Logits
with one channel belong to a sigmoid over the labels 0 and 1. Pixels with the
label `ignore`, or with a label of no class, do not count; without other pixels
the loss is 0. Losses are computed in float32 and over the global batch: the
mean over devices of values and gradients is that of the whole batch.
"""

import ast
from collections.abc import Callable
import functools
import importlib
import inspect
import pkgutil

import jax

from segjax import specs

# Arguments that the program passes, so that the string must not.
GIVEN = ('logits', 'labels', 'class_weights', 'pixel_weights')


def names() -> list[str]:
  """Returns the names of all losses."""
  return [module.name for module in pkgutil.iter_modules(__path__)]


def build(
    text: str, class_weights: jax.Array | None = None
) -> Callable[..., tuple[jax.Array, dict[str, jax.Array]]]:
  """Builds the loss function that a string describes.

  Args:
    text: a sum of terms, each a loss or a number times a loss. A loss is the
      name of a file here, optionally with literal arguments.
    class_weights: [K] or None, passed to all losses.

  Returns:
    `function(logits, labels, pixel_weights=None)`, which returns the total and
    {name: term}, where terms are without their factors. Weights of pixels
    [B, H, W] are passed to the losses that take them; if none does, the
    function raises ValueError.

  Raises:
    ValueError: the string cannot be read, a loss or an argument does not exist,
      or there are class weights and a loss takes none.
  """
  functions = {
      name: getattr(importlib.import_module(f'{__name__}.{name}'), name)
      for name in names()
  }
  try:
    node = ast.parse(text.strip(), mode='eval').body
  except SyntaxError as error:
    raise ValueError(f'Cannot read the loss {text!r}: {error}.') from error
  terms = []
  for factor, call in _terms(node):
    name, kwargs = specs.parse(call, functions, 'loss', given=GIVEN)
    function = functools.partial(functions[name], **kwargs)
    if _takes(function, 'class_weights'):
      function = functools.partial(function, class_weights=class_weights)
    if name in (other for other, _, _ in terms):
      raise ValueError(f'{text!r} names {name} twice: join the two terms.')
    terms.append((name, factor, function))
  without = [
      name
      for name, _, function in terms
      if not _takes(function, 'class_weights')
  ]
  if class_weights is not None and without:
    raise ValueError(
        f'The loss {text!r} has terms that take no class weights,'
        f' {", ".join(without)}: by their definition classes are not averaged.'
        ' Use another loss there, such as dice or lovasz_softmax, or leave'
        ' config.class_weights empty.'
    )

  def loss(logits, labels, pixel_weights=None):
    parts, weights_used = {}, pixel_weights is None
    for name, _, function in terms:
      kwargs = {}
      if _takes(function, 'pixel_weights'):
        kwargs, weights_used = {'pixel_weights': pixel_weights}, True
      parts[name] = function(logits, labels, **kwargs)
    if not weights_used:
      raise ValueError(
          f'No loss of {text!r} takes weights of pixels, which preprocessing'
          ' makes: add cross_entropy, or leave border_weights out.'
      )
    return sum(factor * parts[name] for name, factor, _ in terms), parts

  return loss


def _takes(function, argument):
  """Tells whether a function has an argument of a name."""
  return argument in inspect.signature(function).parameters


def _terms(node):
  """Yields (factor, syntax tree of a call) for each term of a sum."""
  match node:
    case ast.BinOp(left, ast.Add(), right):
      yield from _terms(left)
      yield from _terms(right)
    case ast.BinOp(ast.Constant(int() | float() as factor), ast.Mult(), call):
      yield factor, call
    case _:
      yield 1.0, node
