r"""Compares exported systems with JAX, in ONNX Runtime and in LiteRT.

  python -m segjax.tools.export_parity --output=parity.json
  python -m segjax.tools.export_parity --output=parity.json --systems=unet,icnet

Each system is that of its config on the embedded set, with random weights and
statistics. What it predicts of one image is compared before labels are chosen:
a number is the largest difference over the standard deviation of that output.
Where it is large, both are compared with the same program in float64, so that
errors of a translation are told from networks that enlarge any rounding.
The command goes on with a file that is there already, and prints its table.
"""

from collections.abc import Mapping
import dataclasses
import functools
import importlib
import json
import multiprocessing
import pathlib
import tempfile
import time
import traceback

from absl import app
from absl import flags
from absl import logging
import jax
import numpy as np
import psutil

from segjax import experiment
from segjax import export
from segjax import models
from segjax.artifacts import exported
from segjax.data import transforms
from segjax.runtime import atomic
from segjax.runtime import progress
from segjax.runtime import terminal

FORMATS = ('onnx', 'tflite')
TOLERANCE = 1e-4  # Of the standard deviation.
SIZE = (64, 96)


def random_variables(shapes: Mapping) -> dict:
  """Draws variables of a model, none of which is special.

  Args:
    shapes: from `System.shapes`.
  """
  rng = np.random.default_rng(0)

  def draw(path, x):
    # A variance is positive, also in a table of them.
    if len(x.shape) == 1 or path[-1].key == 'var':
      drawn = rng.uniform(0.5, 1.5, x.shape)
    else:
      fan_in = max(np.prod(x.shape[:-1]), 1)
      drawn = rng.normal(size=x.shape) * np.sqrt(2 / fan_in)
    return drawn.astype(x.dtype)

  return jax.tree.map_with_path(draw, shapes)


def difference(found: Mapping, wanted: Mapping) -> float:
  """Returns the largest difference over the standard deviation of an output.

  An output of integers or truth values counts by the share of those that
  differ, where it is more than one in a thousand.

  Args:
    found: {name: array}.
    wanted: the same, as it should be.
  """
  worst = 0.0
  for name, expected in wanted.items():
    expected, x = np.asarray(expected), np.asarray(found[name])
    if not expected.size:
      continue
    if np.issubdtype(expected.dtype, np.floating):
      error = np.abs(x - expected).max() / max(expected.std(), 1e-12)
    else:
      share = (x != expected).mean()
      error = share if share > 1e-3 else 0.0
    worst = max(worst, float(error))
  return worst


def compare(name: str, suffix: str) -> float | dict[str, float]:
  """Exports a system, runs it, and returns the difference; see `difference`.

  Args:
    name: of a config.
    suffix: of the format.

  Returns:
    The difference to JAX; where it is more than `TOLERANCE`, {'to_jax': that,
    'to_float64': the difference to the program in float64, 'jax_to_float64':
    the one of JAX in float32}.

  Raises:
    NotImplementedError: the format cannot express it.
    ValueError: the system reads more than images.
  """
  config = importlib.import_module(f'configs.{name}').get_config()
  label_map = experiment.eval_dataset(config).label_map
  system = experiment.system(config, label_map)
  if system.reads != ('image',):
    raise ValueError(f'reads {", ".join(system.reads)}')
  size = system.sides or SIZE
  halo = 2 * system.halo
  variables = jax.device_put(
      random_variables(system.shapes((1, size[0] + halo, size[1] + halo, 3)))
  )
  ops = tuple(
      op
      for op in transforms.parse(config.preprocess.eval)
      if isinstance(op, transforms.Normalize | transforms.Bgr)
  )

  def compute(system, variables, image):
    return export.predicted(system, variables, ops, image, config.seed)[0]

  function = functools.partial(compute, system, variables)
  about = exported.About(
      system=name,
      task=config.task,
      step=0,
      shape=(1, *size, 3),
      dtype='uint8',
      classes=label_map.names,
      colors=label_map.colors,
      things=label_map.things,
      overlapping=label_map.overlapping,
      threshold=config.predict.threshold,
  )
  image = np.random.default_rng(1).integers(0, 256, about.shape, np.uint8)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / f'model.{suffix}'
    exported.write(path, function, about)
    found = exported.read(path)[0](image)
  by_jax = jax.jit(function)(image)
  to_jax = difference(found, by_jax)
  if to_jax <= TOLERANCE:
    return to_jax
  with jax.enable_x64(True):
    wide = dataclasses.replace(system, dtype='float64')
    exact = jax.jit(functools.partial(compute, wide))(
        jax.tree.map(lambda x: np.asarray(x, np.float64), variables), image
    )
  return {
      'to_jax': to_jax,
      'to_float64': difference(found, exact),
      'jax_to_float64': difference(by_jax, exact),
  }


def _serve(connection) -> None:
  """Compares the systems that it is asked for, in a process of its own."""
  connection.send('ready')
  while True:
    name, suffix = connection.recv()
    try:
      answer = compare(name, suffix)
    except Exception as error:
      logging.debug('%s', traceback.format_exc())
      said = str(error).strip().splitlines() or ['']
      answer = f'{type(error).__name__}: {said[0][:200]}'
    connection.send(answer)
    jax.clear_caches()


class _Worker:
  """A process that is ended when it takes too long, and started again."""

  def __init__(self):
    self._process = None

  def ask(self, question, seconds):
    """Returns the answer, or a text that says why there is none."""
    if self._process is None:
      context = multiprocessing.get_context('spawn')
      self._pipe, theirs = context.Pipe()
      self._process = context.Process(
          target=_serve, args=(theirs,), daemon=True
      )
      self._process.start()
      theirs.close()
      self._pipe.recv()  # It is ready.
    process = psutil.Process(self._process.pid)
    before = sum(process.cpu_times()[:2])
    self._pipe.send(question)
    try:
      while sum(process.cpu_times()[:2]) - before < seconds:
        if self._pipe.poll(0.2):
          return self._pipe.recv()
      answer = f'takes more than {seconds:.0f} s'
    except (EOFError, psutil.Error):
      answer = 'ends the process'
    self.close()
    return answer

  def close(self):
    """Ends the process."""
    if self._process:
      self._process.kill()
      self._process.join()
      self._process = None


def table(results: Mapping[str, Mapping]) -> str:
  """Returns the results as a table in Markdown.

  Args:
    results: {system: {format: a difference, or why there is none}}.
  """

  def text(answer):
    if isinstance(answer, str):
      return answer.replace('|', '/')
    if isinstance(answer, float):
      return f'{"yes" if answer <= TOLERANCE else "differs"}, {answer:.0e}'
    ours, jax_own = answer['to_float64'], answer['jax_to_float64']
    good = ours <= max(TOLERANCE, jax_own)
    return (
        f'{"yes" if good else "differs"}, {ours:.0e} to float64, and JAX'
        f' {jax_own:.0e}'
    )

  lines = [
      f'| system | {" | ".join(FORMATS)} |',
      f'|---|{"---|" * len(FORMATS)}',
  ]
  for name, row in sorted(results.items()):
    cells = [text(row[f]) if f in row else 'not tried' for f in FORMATS]
    lines.append(f'| {name} | {" | ".join(cells)} |')
  return '\n'.join(lines)


def run(
    systems: list[str], formats: list[str], path: pathlib.Path, seconds: float
) -> dict[str, dict]:
  """Compares the systems that a file lacks, and writes it after each.

  Args:
    systems: names of configs.
    formats: elements of `FORMATS`.
    path: of the JSON file.
    seconds: CPU time that a system may take in a format.

  Returns:
    The content of the file.
  """
  results = json.loads(path.read_text()) if path.exists() else {}
  pairs = [
      (name, suffix)
      for suffix in formats
      for name in systems
      if suffix not in results.get(name, {})
  ]
  worker = _Worker()
  try:
    for name, suffix in progress.track(pairs, len(pairs), 'Systems'):
      start = time.monotonic()
      answer = worker.ask((name, suffix), seconds)
      results.setdefault(name, {})[suffix] = answer
      spent = time.monotonic() - start
      logging.info('%s, %s: %s (%.0f s)', name, suffix, answer, spent)
      with atomic.replacing(path) as file:
        file.write((json.dumps(results, indent=2) + '\n').encode())
  finally:
    worker.close()
  return results


def main(argv):
  """Compares what the flags say, and prints the table."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  with terminal.errors_in_words():
    for flag, given, known in (
        ('systems', _SYSTEMS.value, models.names()),
        ('formats', _FORMATS.value, FORMATS),
    ):
      if unknown := sorted(set(given) - set(known)):
        raise ValueError(
            f'--{flag}: there is no {", ".join(unknown)}. Known:'
            f' {", ".join(known)}.'
        )
    results = run(
        _SYSTEMS.value or models.names(),
        _FORMATS.value,
        pathlib.Path(_OUTPUT.value),
        _SECONDS.value,
    )
    print(table(results))


if __name__ == '__main__':
  _SYSTEMS = flags.DEFINE_list(
      'systems', [], 'Systems to compare; by default all.'
  )
  _FORMATS = flags.DEFINE_list(
      'formats', list(FORMATS), f'Formats: {", ".join(FORMATS)}.'
  )
  _OUTPUT = flags.DEFINE_string('output', None, 'JSON file to write.')
  _SECONDS = flags.DEFINE_float(
      'seconds', 60.0, 'CPU seconds that a system may take in a format.'
  )
  flags.mark_flags_as_required(['output'])
  app.run(main, flags_parser=terminal.parse_flags)
