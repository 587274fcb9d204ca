"""Calls in configs: strings such as 'poly(power=0.9)', with literals alone.

The grammar is Python's, read by `ast` and never executed.
(`clu.preprocess_spec` has the like for preprocessing alone and imports
TensorFlow for it.)
"""

import ast
import inspect


def parse(text, known, what, given=()):
  """Returns the function that a call names, and its arguments by name.

  Args:
    text: a string such as 'sgd(momentum=0.9)' or 'flip', or its syntax tree.
    known: {name: function or class}, what may be called.
    what: what such a thing is called in errors, 'optimiser' for example.
    given: names of arguments that the program gives and the string must not.

  Returns:
    (name, {argument: value}), defaults left out.

  Raises:
    ValueError: not a call, no such name, or wrong arguments.
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
  free = [p for p in signature.parameters.values() if p.name not in given]
  signature = signature.replace(parameters=free)
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


def merged(*functions):
  """Returns a stand-in with the parameters of several functions, for `parse`.

  Parameters of the same name are one.
  """
  parameters = {}
  for function in functions:
    parameters |= inspect.signature(function).parameters

  def stand_in():
    """Has a signature, and is never called."""

  # Keywords alone: their order and defaults then do not matter.
  stand_in.__signature__ = inspect.Signature(
      [p.replace(kind=p.KEYWORD_ONLY) for p in parameters.values()]
  )
  return stand_in


def options(text):
  """Returns the arguments of a string such as 'flip=True, scales=(0.5, 1.0)'.

  Raises:
    ValueError: they are not literals with names, or one is given twice.
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


def split(text, what):
  """Returns the name and the options of a string such as 'vit/base(patch=8)'.

  Unlike that of a call, the name may be anything without a parenthesis.

  Args:
    text: a name, or a name and options in parentheses.
    what: what such a thing is called in errors, 'backbone' for example.

  Returns:
    (name, {option: value}).

  Raises:
    ValueError: the options are not literals with names.
  """
  name, parenthesis, rest = text.strip().partition('(')
  if not parenthesis:
    return name, {}
  if not rest.endswith(')'):
    raise ValueError(
        f'Cannot read the {what} {text!r}: it ends with no closing parenthesis.'
    )
  return name, options(rest[:-1])
