"""Calls of a model, with what its parts return and what training changes."""

import functools
from typing import Any
from typing import NamedTuple

import jax
import numpy as np

from segjax.convert import torch
from tests.parity import reference

# A program runs once here, so that most of the time goes into compiling it:
# about a sixth of it without optimisations of LLVM and emitters of fusions.
QUICKLY = {
    'xla_backend_optimization_level': 0,
    'xla_cpu_use_fusion_emitters': False,
}


class Call(NamedTuple):
  """What one call of a model left."""

  out: Any  # What the model returned.
  parts: dict  # What its parts returned, by path: 'backbone', 'aspp/image'.
  variables: dict  # All variables after the call, as the next call takes them.


def quickly(function, **options):
  """Returns a function of arrays, compiled as a whole.

  Args:
    function: of arrays.
    **options: keywords of it that are no arrays.
  """
  bound = functools.partial(function, **options)
  return jax.jit(bound, compiler_options=QUICKLY)


def fill(model, rules, spec, *inputs, **fields):
  """Returns the variables of a model, filled from the state of a fixture.

  Args:
    model: a Flax module.
    rules: of `segjax.convert`.
    spec: of the fixture.
    *inputs: what the model reads.
    **fields: what it reads by keyword.
  """
  template = jax.eval_shape(
      functools.partial(model.init, jax.random.key(0)), *inputs, **fields
  )
  state, layout = _original(spec)
  return torch.convert(state, rules, template, layout)


def call(
    model,
    variables,
    *inputs,
    train=None,
    parts=(),
    method=None,
    streams=None,
    float64=False,
    whole=True,
    **fields,
):
  """Calls a model once.

  Args:
    model: a Flax module.
    variables: of it.
    *inputs: what it reads.
    train: whether in train mode; None is False, and a method other than
      `__call__` then gets no `train`.
    parts: paths of those whose results are asked for.
    method: name of the method, `__call__` if None.
    streams: {name: seed} of the random streams that it draws from.
    float64: whether to compute in float64.
    whole: whether to compile the call as a whole, not each operation.
    **fields: what it reads by keyword.

  Returns:
    A `Call`; a part that was called more than once has a tuple in `parts`, and
    one that was not called has no entry.
  """
  arguments = variables, inputs, fields
  if float64:
    arguments = jax.tree.map(_widened, arguments)
  keys = {name: jax.random.key(seed) for name, seed in (streams or {}).items()}
  apply = _apply if whole else _apply.__wrapped__
  with jax.enable_x64(float64):
    out, changed = apply(
        model, *arguments, keys, train=train, parts=tuple(parts), method=method
    )
  captured = changed.pop('intermediates', {})
  results = {path: _results(captured, path) for path in parts}
  return Call(
      out,
      {path: result for path, result in results.items() if result is not None},
      {**variables, **changed},
  )


@functools.partial(
    jax.jit,
    static_argnums=0,
    static_argnames=('train', 'parts', 'method'),
    compiler_options=QUICKLY,
)
def _apply(model, variables, inputs, fields, keys, *, train, parts, method):
  mode = {} if method and train is None else {'train': bool(train)}
  return model.apply(
      variables,
      *inputs,
      **fields,
      **mode,
      rngs=keys,
      method=method,
      mutable=[*(name for name in variables if name != 'params')]
      + ['intermediates'],
      capture_intermediates=lambda module, _: '/'.join(module.path) in parts,
  )


def _original(spec):
  """Returns (state, layout) under the names that the original itself has.

  `keras_names` has [name in the fixture, name in Keras, axes], where the
  tensor of the fixture is Keras' with these axes.
  """
  state = reference.state(spec)
  if 'keras_names' not in spec:
    return state, 'torch'
  return {
      keras: state[name].transpose(np.argsort(axes)) if axes else state[name]
      for name, keras, axes in spec['keras_names']
  }, 'keras'


def _widened(x):
  """Floating point numbers as float64, all else as it is."""
  x = np.asarray(x)
  return x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x


def _results(captured, path):
  """What a part has returned: a tuple if more than once, None if never."""
  for key in (*path.split('/'), '__call__'):
    if key not in captured:
      return None
    captured = captured[key]
  return captured if len(captured) > 1 else captured[0]
