r"""Reads the network that an architecture search has found off its workdir.

  python -m segjax.main --config=configs/autodeeplab_search.py \
      --workdir=runs/search
  python -m segjax.tools.genotype --workdir=runs/search
  python -m segjax.main \
      --config=configs/autodeeplab.py:found=runs/search/genotype.json \
      --workdir=runs/found

The file that is written has the fields of the model that the third command
trains from random weights.
"""

from collections.abc import Callable
import contextlib
import functools
import inspect
from typing import NamedTuple

from absl import app
from absl import flags
from absl import logging
from etils import epath
import numpy as np

from segjax import models
from segjax.artifacts.checkpoint import Checkpoints
from segjax.artifacts.workdir import Workdir
from segjax.runtime import atomic
from segjax.runtime import terminal


class Search(NamedTuple):
  """What a search has left behind.

  Attributes:
    step: of the newest checkpoint.
    params: of that step.
    decode: returns the fields of the network that parameters stand for.
  """

  step: int
  params: dict
  decode: Callable[[dict], dict]


def load(workdir: Workdir) -> Search:
  """Loads a search from its workdir.

  The architecture is that of the newest checkpoint, which has seen most, and
  not of the one whose shared weights score best.

  Args:
    workdir: of the search.

  Raises:
    FileNotFoundError: there is no checkpoint.
    ValueError: the run is no search.
  """
  config = workdir.read_config()
  name = config.model_name
  decode = getattr(models.module(name), 'decode', None)
  if decode is None:
    known = [n for n in models.names() if hasattr(models.module(n), 'decode')]
    raise ValueError(
        f'{workdir.path} is a run of {name}, which searches for no'
        f' architecture: give the workdir of {" or ".join(known)}.'
    )
  with contextlib.closing(
      Checkpoints(workdir.checkpoints, read_only=True)
  ) as checkpoints:
    step = max(checkpoints.steps(), default=None)
    if step is None:
      raise FileNotFoundError(
          f'There is no checkpoint in {workdir.checkpoints}: search first.'
      )
    saved = checkpoints.read(step)
  # Fields of the search that the result depends on.
  known = inspect.signature(decode).parameters
  fields = {k: v for k, v in config.model.items() if k in known}
  return Search(step, saved['params'], functools.partial(decode, **fields))


def write(path: epath.Path, fields: dict) -> None:
  """Writes fields as a JSON file."""

  def plain(value):
    if isinstance(value, np.generic):
      return value.item()
    raise TypeError(f'{value!r} is no field of a model.')

  atomic.write_json(path, fields, default=plain)


def main(workdir: Workdir, output: str) -> None:
  """Decodes the search in a workdir and writes the fields."""
  with terminal.errors_in_words():
    search = load(workdir)
    fields = search.decode(search.params)
    path = epath.Path(output or workdir.path / 'genotype.json')
    write(path, fields)
    words = [f'  {name} = {value}' for name, value in fields.items()]
    logging.info(
        'Found in step %d:\n%s\nWritten to %s.',
        *(search.step, '\n'.join(words), path),
    )


if __name__ == '__main__':
  _WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the search.')
  _OUTPUT = flags.DEFINE_string(
      'output', '', 'File to write; by default genotype.json in the workdir.'
  )
  flags.mark_flags_as_required(['workdir'])
  app.run(
      lambda _: main(Workdir(_WORKDIR.value), _OUTPUT.value),
      flags_parser=terminal.parse_flags,
  )
