"""Parser of specs: strings in configs such as 'poly(power=0.9)'.

A spec is a Python call with literal arguments. It is parsed by `ast` and never
executed. (`clu.preprocess_spec` parses such strings for preprocessing alone,
and imports TensorFlow.)
"""

import ast
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
import inspect
from typing import Any


def parse(
    text: str | ast.expr,
    known: Mapping[str, Callable[..., Any]],
    what: str,
    given: Collection[str] = (),
) -> tuple[str, dict[str, Any]]:
  """Parses a spec into the name of a function and its arguments.

  Args:
    text: a string such as 'sgd(momentum=0.9)' or 'flip', or its syntax tree.
    known: {name: function or class}, the callables that a spec may name.
    what: the kind of these in errors, for example 'optimiser'.
    given: names of arguments that the program passes, so the spec must not.

  Returns:
    (name, {argument: value}), without arguments that are left to defaults.

  Raises:
    ValueError: the text is no call, the name is unknown, or the arguments do
      not fit the function.
  """
  node = text
  if isinstance(text, str):
    try:
      node = ast.parse(text.strip(), mode='eval').body
    except SyntaxError as error:
      raise ValueError(f'Cannot read the {what} {text!r}: {error}.') from error
  text = ast.unparse(node)
  call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
  name = ast.unparse(call.func)
  if name not in known:
    raise ValueError(
        f'There is no {what} {name!r}. Known: {", ".join(sorted(known))}.'
    )
  signature = inspect.signature(known[name])
  # Without types: errors show the signature to people who write configs.
  parameters = [
      p.replace(annotation=p.empty)
      for p in signature.parameters.values()
      if p.name not in given
  ]
  signature = inspect.Signature(parameters)
  try:
    args = [ast.literal_eval(arg) for arg in call.args]
    kwargs = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    if len(kwargs) < len(call.keywords):
      raise TypeError('an argument is given twice')
    return name, signature.bind_partial(*args, **kwargs).arguments
  except (TypeError, ValueError) as error:
    raise ValueError(
        f'{text}: {error}. It is used as {name}{signature}.'
    ) from error


def merged(*functions: Callable[..., Any]) -> Callable[[], None]:
  """Returns a function with the parameters of several functions, for `parse`.

  Parameters of the same name are merged. The function itself does nothing.
  """
  parameters = {}
  for function in functions:
    parameters |= inspect.signature(function).parameters

  def stand_in():
    """Only carries the merged signature."""

  # As keywords: positional parameters with defaults may not precede others.
  stand_in.__signature__ = inspect.Signature(
      [p.replace(kind=p.KEYWORD_ONLY) for p in parameters.values()]
  )
  return stand_in


def options(text: str) -> dict[str, Any]:
  """Parses options such as 'flip=True, scales=(0.5, 1.0)' into a dictionary.

  Raises:
    ValueError: an option has no name or no literal value, or occurs twice.
  """
  try:
    call = ast.parse(f'f({text})', mode='eval').body
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
      raise ValueError('its parentheses do not match')
    values = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    if call.args or None in values or len(values) < len(call.keywords):
      raise ValueError('each has one name and one value')
  except (SyntaxError, ValueError) as error:
    raise ValueError(
        f'Cannot read the options {text!r}: {error}. Write them as in'
        ' "flip=True, scales=(0.5, 1.0)".'
    ) from error
  return values


def split(text: str, what: str) -> tuple[str, dict[str, Any]]:
  """Splits a spec such as 'vit/base(patch=8)' into its name and options.

  Unlike in `parse`, the name may be any text without a parenthesis.

  Args:
    text: a name, or a name and options in parentheses.
    what: the kind of the named thing in errors, for example 'backbone'.

  Returns:
    (name, {option: value}).

  Raises:
    ValueError: an option has no name or no literal value.
  """
  name, parenthesis, rest = text.strip().partition('(')
  if not parenthesis:
    return name, {}
  if not rest.endswith(')'):
    raise ValueError(
        f'Cannot read the {what} {text!r}: it ends with no closing parenthesis.'
    )
  return name, options(rest[:-1])
