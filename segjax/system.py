"""A system: a model, its task, and the functions that all programs need.

Training, evaluation, prediction and the programs beside them build one
`System` and hand it down, so that they cannot disagree.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import functools
import inspect
import types
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax import losses
from segjax import models
from segjax import tasks
from segjax.data import fields
from segjax.data.label_map import LabelMap

Outputs = dict[str, Any]
DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class System:
  """A model, and how it is learnt and applied.

  Attributes:
    name: file of the model in segjax/models.
    model: a Flax module.
    task: a module of segjax/tasks.
    label_map: classes that are told apart.
    reads: fields of a batch that the model is given at prediction, by name.
    train_reads: the same in training.
    halo: pixels that valid convolutions lose on each side.
    multiple: sides of what the model is given have to be multiples of it.
    sides: (height, width) of what the model is given, if it takes no other.
    samples: whether prediction draws samples, and returns their variance.
    dtype: of activations, 'float32' or 'bfloat16'.
    loss: `loss(out, batch, rng)`, a scalar and its parts {name: scalar}.
    predict: `predict(apply, batch, key)`, what the task predicts of a batch,
      {name: [B, ...]}; `apply(batch, key)` returns the outputs of the model.
  """

  name: str
  model: nn.Module
  task: types.ModuleType
  label_map: LabelMap
  reads: tuple[str, ...]
  train_reads: tuple[str, ...]
  halo: int
  multiple: int
  sides: tuple[int, int] | None
  samples: bool
  dtype: str
  loss: Callable
  predict: Callable

  def apply(
      self,
      variables: Mapping,
      batch: Mapping[str, jax.Array],
      *,
      train: bool = False,
      rng: jax.Array | None = None,
  ) -> tuple[Outputs, dict]:
    """Applies the model in `dtype`; moving state and outputs stay float32.

    Args:
      variables: of the model.
      batch: has the fields that the model reads, the image [B, H, W, C] first.
      train: whether norms take their statistics from the batch.
      rng: key of the random streams 'dropout' and 'sample'; with one, systems
        that sample drop when they predict.

    Returns:
      The outputs, and the collections that training changed.
    """
    params = variables['params']
    if self.dtype != 'float32':
      params = jax.tree.map(lambda x: x.astype(self.dtype), params)
    names = self.train_reads if train else self.reads
    given = {name: batch[name] for name in names}
    given['image'] = given['image'].astype(self.dtype)
    streams = None
    if rng is not None:
      streams = {'dropout': rng, 'sample': jax.random.fold_in(rng, 1)}
    moving = [name for name in variables if name != 'params']
    out, changed = self.model.apply(
        {**variables, 'params': params},
        **given,
        train=train,
        rngs=streams,
        mutable=moving if train else [],
    )
    return jax.tree.map(_as_float32, out), changed

  def init(self, seed: int, image_shape: tuple[int, ...]) -> dict:
    """Returns fresh variables of the model.

    Args:
      seed: of the initial values.
      image_shape: [B, H, W, C] of its images; B does not matter.
    """
    given = fields.placeholders(self.reads, (1, *image_shape[1:]))
    key = jax.random.key(seed)
    options = None
    if jax.default_backend() == 'cpu' and not isinstance(key, jax.core.Tracer):
      # The program runs once, and XLA for CPUs takes three times as long to
      # optimise it in full as on its first level, which rounds in the same way;
      # level 0 does not. Where shapes alone are asked for, nothing compiles.
      options = {'xla_backend_optimization_level': 1}
    return jax.jit(self.model.init, compiler_options=options)(key, **given)

  def shapes(self, image_shape: tuple[int, ...]) -> dict:
    """Returns the shapes of the variables; see `init`."""
    return jax.eval_shape(lambda: self.init(0, image_shape))

  def check_crop(self, height: int, width: int, halo: int) -> None:
    """Raises ValueError unless crops of training fit the model.

    Args:
      height: rows of the label of a crop.
      width: columns of it.
      halo: by how much the image is larger than the label on each side.
    """
    if halo != self.halo:
      raise ValueError(
          f'The model {self.name} loses {self.halo} pixels on each side, and'
          f' config.preprocess.train gives its crops a halo of {halo}: write'
          f' random_crop({height}, {width}, halo={self.halo}) there, or the'
          ' like for another crop.'
      )
    if self.sides and (height, width) != self.sides:
      raise ValueError(
          f'The model {self.name} takes images of {self.sides[0]} x'
          f' {self.sides[1]} alone, and config.preprocess.train crops to'
          f' {height} x {width}: write random_crop{self.sides} there.'
      )
    if height % self.multiple or width % self.multiple:
      fitting = [
          max(side // self.multiple, 1) * self.multiple
          for side in (height, width)
      ]
      raise ValueError(
          f'The model {self.name} takes images whose sides are multiples of'
          f' {self.multiple}, and config.preprocess.train crops to {height} x'
          f' {width}: {fitting[0]} x {fitting[1]} would fit.'
      )


def build(
    name: str,
    model: nn.Module,
    label_map: LabelMap,
    *,
    task: str = 'semantic',
    loss: str = 'cross_entropy',
    aux_loss: str = '',
    class_weights: np.ndarray | None = None,
    aux: float | Mapping[str, float] = 0.0,
    system_loss: Mapping[str, Any] | None = None,
    dtype: str = 'float32',
) -> System:
  """Builds a system of a model.

  What the file of the model defines beside `Model` comes in here: `loss(out,
  batch, rng, *, base, ...)` adds terms to `base`, the loss of the task, and
  `predict(model, apply, batch, key)` returns outputs where one application of
  the model is not all; see segjax/models/README.md.

  Args:
    name: file of the model in segjax/models.
    model: the Flax module.
    label_map: classes that are told apart.
    task: see `tasks.build`.
    loss: of pixels, see `losses.build`.
    aux_loss: the same of auxiliary heads; '' takes `loss`.
    class_weights: [K] or None.
    aux: factor of the losses of auxiliary heads, one for all or {name: factor}.
    system_loss: keyword arguments of the model file's `loss`.
    dtype: of activations.

  Raises:
    ValueError: an option is unknown or wrong.
  """
  if dtype not in DTYPES:
    raise ValueError(f'config.dtype={dtype!r} is not one of {DTYPES}.')
  hooks = models.module(name) if name in models.names() else None
  kind, of_loss, of_predict = tasks.build(task)
  if aux_loss:
    if 'aux_pixel' not in inspect.signature(kind.loss).parameters:
      raise ValueError(
          f'config.aux_loss={aux_loss!r}: the task {task!r} has no auxiliary'
          ' heads with a loss of their own, so leave it empty.'
      )
    of_loss = {**of_loss, 'aux_pixel': losses.build(aux_loss, class_weights)}
  base = functools.partial(
      kind.loss,
      pixel=losses.build(loss, class_weights),
      aux=dict(aux) if isinstance(aux, Mapping) else aux,
      **of_loss,
  )
  reads = getattr(model, 'reads', ('image',))
  multiple = getattr(model, 'multiple', 1)
  sides = getattr(model, 'sides', None)
  halo = getattr(model, 'halo', 0)
  own_predict = getattr(hooks, 'predict', None)

  def predict(apply, batch, key):
    def fitted(batch, key):
      size = tuple(side - 2 * halo for side in batch['image'].shape[1:3])
      missing = _missing(batch['image'].shape[1:3], multiple, sides)
      return _cropped(apply(_padded(batch, missing), key), size)

    out = (
        own_predict(model, fitted, batch, key)
        if own_predict
        else fitted(batch, None)
    )
    return kind.predict(out, label_map, **of_predict)

  return System(
      name=name,
      model=model,
      task=kind,
      label_map=label_map,
      reads=reads,
      train_reads=getattr(model, 'train_reads', reads),
      halo=halo,
      multiple=multiple,
      sides=sides,
      samples=own_predict is not None and hasattr(model, 'samples'),
      dtype=dtype,
      loss=_with_own_terms(name, hooks, base, dict(system_loss or {})),
      predict=predict,
  )


def _with_own_terms(name, hooks, base, keywords):
  """Returns the loss of the task, with the terms that a model file adds."""
  own = getattr(hooks, 'loss', None)
  if own is None:
    if keywords:
      raise ValueError(
          f'config.system_loss has {", ".join(keywords)}, and {name} adds no'
          ' terms to the loss: leave it empty.'
      )
    return base
  known = [
      parameter.name
      for parameter in inspect.signature(own).parameters.values()
      if parameter.kind is parameter.KEYWORD_ONLY and parameter.name != 'base'
  ]
  if unknown := sorted(set(keywords) - set(known)):
    raise ValueError(
        f'config.system_loss: the loss of {name} has no option'
        f' {", ".join(unknown)}. Known: {", ".join(known) or "none"}.'
    )
  return functools.partial(own, base=base, **keywords)


def _as_float32(x):
  """Returns floating-point outputs as float32, and others as they are."""
  return x.astype(jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x


def _missing(size, multiple, sides):
  """Returns the rows and columns that an image lacks to fit the model."""
  if sides is None:
    return [-side % multiple for side in size]
  missing = [wanted - side for wanted, side in zip(sides, size, strict=True)]
  if min(missing) < 0:
    raise ValueError(
        f'The model takes images of {sides[0]} x {sides[1]} alone, and this is'
        f' {size[0]} x {size[1]}: predict it through windows of that size,'
        f" config.predict.mode='slide' and config.predict.window={sides}."
    )
  return missing


def _padded(batch, missing):
  """Returns a batch whose spatial fields have more rows and columns."""
  if not any(missing):
    return batch

  def pad(name, x):
    if not fields.is_spatial(name):
      return x
    border = (0, 0), *((0, n) for n in missing), *[(0, 0)] * (x.ndim - 3)
    return jnp.pad(x, border, constant_values=fields.kind(name).outside)

  return {name: pad(name, x) for name, x in batch.items()}


def _cropped(out, size):
  """Returns outputs without the rows and columns that were padded."""
  padded = out['logits'].shape[1:3]
  if padded == size:
    return out
  return jax.tree.map(
      lambda x: x[:, : size[0], : size[1]] if x.shape[1:3] == padded else x, out
  )
