"""Losses, one file each, summed by a string.

`build('cross_entropy(label_smoothing=0.1) + 0.5 * dice(squared=True)')`

A loss is a function of logits [B, H, W, K] and integer labels [B, H, W]. One
channel is that of a sigmoid, for the labels 0 and 1. Labels that are to be
ignored, or are of no class, count for nothing, and without any other the loss
is 0. All is computed in float32, and over the global batch: the mean over
devices of values and gradients is that of the whole batch.
"""

import ast
import functools
import importlib
import inspect
import pkgutil

from segjax import specs

# Arguments that are no part of the string.
GIVEN = ('logits', 'labels', 'class_weights', 'pixel_weights')


def names():
  """Returns the losses that exist."""
  return [module.name for module in pkgutil.iter_modules(__path__)]


def build(text, class_weights=None):
  """Returns the function that a sum of losses names.

  Args:
    text: terms with a plus between them, each a loss or a number times a loss;
      a loss is a file here, with literal arguments or without.
    class_weights: [K] or None, given to the losses that take them.

  Returns:
    `function(logits, labels, pixel_weights=None)` with the total and {name:
    term}, the terms without their factors. Weights of pixels, [B, H, W], are
    given to the losses that take them; if there is none, it raises ValueError.

  Raises:
    ValueError: the string cannot be read, there is no such loss or argument,
      or there are weights and no loss takes them.
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
    if name in (known for known, _, _ in terms):
      raise ValueError(f'{text!r} names {name} twice.')
    terms.append((name, factor, function))
  if class_weights is not None and not any(
      _takes(function, 'class_weights') for *_, function in terms
  ):
    raise ValueError(f'No loss of {text!r} takes class weights.')

  def loss(logits, labels, pixel_weights=None):
    parts, weighted = {}, pixel_weights is None
    for name, _, function in terms:
      given = {}
      if _takes(function, 'pixel_weights'):
        given, weighted = {'pixel_weights': pixel_weights}, True
      parts[name] = function(logits, labels, **given)
    if not weighted:
      raise ValueError(
          f'No loss of {text!r} takes weights of pixels, which preprocessing'
          ' makes: add cross_entropy, or leave border_weights out.'
      )
    return sum(factor * parts[name] for name, factor, _ in terms), parts

  return loss


def _takes(function, argument):
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
