r"""Measures the table of latencies that FasterSeg's search expects.

  python -m segjax.tools.latency --output=runs/latency.json \
      --config=configs/fasterseg_search.py:dataset=cityscapes
  python -m segjax.main --workdir=runs/search \
      --config=configs/fasterseg_search.py:dataset=cityscapes,latency=runs/latency.json

Each operator is compiled and run alone, on one device and for one image, in
evaluation and in the config's type. A table is of the device that it was
measured on, which may be another than the one of the search. The command goes
on with a file that is there already.
"""

import json
import statistics
import time

from absl import app
from absl import flags
from absl import logging
from etils import epath
import jax
from ml_collections import config_flags

from segjax import experiment
from segjax.layers import expected_latency
from segjax.models import fasterseg
from segjax.models import fasterseg_search
from segjax.runtime import atomic
from segjax.runtime import progress
from segjax.runtime import terminal


def milliseconds(operator: tuple, dtype: str, seconds: float) -> float:
  """Returns the median time of an operator.

  Args:
    operator: from `expected_latency.operators`.
    dtype: of its input and its weights.
    seconds: how long it is repeated, at least.
  """
  kind, height, width, read, write, stride = operator
  module = fasterseg.Operation(kind, write, stride, project=True)
  x = jax.numpy.zeros((1, height, width, read), dtype)
  variables = jax.jit(module.init, static_argnums=2)(
      jax.random.key(0), x, False
  )
  variables['params'] = jax.tree.map(
      lambda p: p.astype(dtype), variables['params']
  )
  apply = jax.jit(module.apply, static_argnums=2)
  for _ in range(3):
    jax.block_until_ready(apply(variables, x, False))
  times, start = [], time.perf_counter()
  while len(times) < 5 or time.perf_counter() - start < seconds:
    before = time.perf_counter()
    jax.block_until_ready(apply(variables, x, False))
    times.append(time.perf_counter() - before)
  return 1000 * statistics.median(times)


def measure(
    operators: dict[str, tuple],
    path: epath.Path,
    dtype: str = 'float32',
    seconds: float = 0.2,
) -> dict[str, float]:
  """Measures the operators that a file lacks, and writes it after each.

  Args:
    operators: from `expected_latency.operators`.
    path: of the JSON file, {key: milliseconds}.
    dtype: see `milliseconds`, as for the next.
    seconds: of each operator.

  Returns:
    The table.
  """
  table = json.loads(path.read_text()) if path.exists() else {}
  missing = {k: v for k, v in operators.items() if k not in table}
  for key, operator in progress.track(
      missing.items(), len(missing), 'Operators'
  ):
    table[key] = milliseconds(operator, dtype, seconds)
    atomic.write_json(path, table)
    jax.clear_caches()  # Hundreds of programs would fill the memory.
  return table


def main(config, output: str) -> None:
  """Measures the operators of a config."""
  with terminal.errors_in_words():
    dataset = experiment.train_dataset(config)
    model = experiment.system(config, dataset.label_map).model
    if not isinstance(model, fasterseg_search.Model):
      raise ValueError(
          f'{config.model_name} expects no table of latencies: give'
          ' --config=configs/fasterseg_search.py.'
      )
    operators = expected_latency.operators(
        tuple(model.latency_size),
        model.layers,
        model.features,
        model.widths,
        model.student_ends,
    )
    table = measure(operators, epath.Path(output), config.dtype)
    logging.info(
        '%d operators on %s: %s.',
        *(len(table), jax.devices()[0].device_kind, output),
    )


if __name__ == '__main__':
  _CONFIG = config_flags.DEFINE_config_file('config')
  _OUTPUT = flags.DEFINE_string('output', None, 'JSON file to write.')
  flags.mark_flags_as_required(['config', 'output'])
  app.run(
      lambda _: main(_CONFIG.value, _OUTPUT.value),
      flags_parser=terminal.parse_flags,
  )
