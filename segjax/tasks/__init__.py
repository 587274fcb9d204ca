"""What a kind of system predicts, how that is learnt and how it is scored.

A task is a module of seven names; `build` finds it by its file.

- `TRUTH`: the fields of a batch that the loss may read, in training alone.
- `BEST`: the score by which the best checkpoint is chosen, higher is better.
- `PER_PIXEL`: whether an image may be seen in views (tiles, scales, mirrors)
  whose outputs are averaged; otherwise it is predicted as a whole.
- `channels(label_map)`: of the logits, for these classes.
- `loss(out, batch, rng, *, pixel, aux, **options)`: the loss of a model's
  outputs, and its parts {name: scalar}. `pixel(logits, label, weight)` is the
  configured loss of pixels, see `segjax.losses.build`, and `aux` the factor of
  auxiliary heads, one for all or {name: factor}. A task whose auxiliary heads
  may have a loss of their own has a keyword `aux_pixel`, too.
- `predict(out, label_map, **options)`: what is predicted of an image, made on
  the device: {name: array [B, ...]}. A task per pixel returns `logits`
  [B, H, W, K], one a class, and whatever else is to be averaged over views.
- `scores(label_map, *, absent)`: an object that adds up and tells scores; see
  `segjax.tasks.semantic.Scores` for its methods.

A task whose predictions have boxes names them in `BOXES`: arrays [B, N, 4], y0
x0 y1 x1 in pixels, which are scaled to the size of the label.

The options are keywords of `loss` and `predict` that `config.task` may give, as
in 'proposals(mask_overlap=0.7)'.
"""

import importlib
import inspect
import pkgutil
import types

from segjax import specs

# Arguments of `loss` and `predict` that the program gives.
GIVEN = ('out', 'batch', 'rng', 'pixel', 'aux', 'aux_pixel', 'label_map')


def build(text: str) -> tuple[types.ModuleType, dict, dict]:
  """Returns the task that a string names, and options of its functions.

  Args:
    text: such as 'semantic' or 'proposals(mask_overlap=0.7)'.

  Returns:
    The module, keywords of its `loss`, and keywords of its `predict`.

  Raises:
    ValueError: there is no such task, or it has no such option.
  """
  known = {
      module.name: importlib.import_module(f'{__name__}.{module.name}')
      for module in pkgutil.iter_modules(__path__)
  }
  signatures = {
      name: specs.merged(module.loss, module.predict)
      for name, module in known.items()
  }
  name, options = specs.parse(text, signatures, 'task', given=GIVEN)
  task = known[name]
  of_loss, of_predict = (
      {
          option: value
          for option, value in options.items()
          if option in inspect.signature(function).parameters
      }
      for function in (task.loss, task.predict)
  )
  return task, of_loss, of_predict
