r"""Truncates the weight matrices of a trained run by singular values.

  python -m segjax.tools.truncate --workdir=runs/camvid --ratio=0.5 \
      --output=runs/camvid_half --skip='^encode1_1/'

Of each kernel, as a matrix of its inputs by its outputs, the largest singular
values are kept, and the kernel is put together again: it has the same shape and
a lower rank. The run in --output is evaluated and predicts as any other; a file
that holds the factors of the matrices would be as much smaller as is logged.
The paper: Atanbori, French and Pridmore,
https://doi.org/10.1007/s00138-019-01051-7.
"""

import math
import re

from absl import app
from absl import flags
from absl import logging
from flax import traverse_util
import numpy as np

from segjax.artifacts import checkpoint
from segjax.artifacts.workdir import Workdir
from segjax.runtime import terminal


def truncate(kernel: np.ndarray, ratio: float) -> tuple[np.ndarray, int]:
  """Truncates a kernel, and returns it and the numbers that it takes.

  Args:
    kernel: [..., in, out]; its matrix is [..., * in, out].
    ratio: share of the singular values to keep, rounded up.

  Returns:
    The kernel of the same shape, and how many numbers its two factors have, or
    it has itself if they are fewer.
  """
  matrix = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
  left, values, right = np.linalg.svd(matrix, full_matrices=False)
  rank = math.ceil(ratio * len(values))
  matrix = (left[:, :rank] * values[:rank]) @ right[:rank]
  numbers = min(rank * sum(matrix.shape), matrix.size)
  return matrix.reshape(kernel.shape).astype(kernel.dtype), numbers


def truncate_all(
    params: dict, ratio: float, skip: str = ''
) -> tuple[dict, int, int]:
  """Truncates all kernels of a model.

  Args:
    params: of the model.
    ratio: see `truncate`.
    skip: regular expression of the names of kernels to leave as they are; ''
      for none.

  Returns:
    The parameters, and the numbers of all kernels before and afterwards.

  Raises:
    ValueError: the ratio is wrong, or `skip` leaves no kernel.
  """
  if not 0 < ratio <= 1:
    raise ValueError(f'--ratio={ratio} must be above 0, and 1 at most.')
  truncated = traverse_util.flatten_dict(params, sep='/')
  before = after = 0
  for name, value in truncated.items():
    if not name.endswith('kernel') or (skip and re.search(skip, name)):
      continue
    before += value.size
    truncated[name], numbers = truncate(value, ratio)
    after += numbers
  if not before:
    raise ValueError(
        f'--skip={skip!r} leaves no kernel to truncate. Names of parameters are'
        f' such as {next(iter(truncated))}.'
    )
  return traverse_util.unflatten_dict(truncated, sep='/'), before, after


def write(
    workdir: Workdir, output: Workdir, ratio: float, skip: str = ''
) -> tuple[int, int]:
  """Writes the truncated weights of a run as another one.

  Args:
    workdir: of the run, whose best checkpoint is taken.
    output: folder without checkpoints.
    ratio: see `truncate`.
    skip: see `truncate_all`.

  Returns:
    The numbers of all truncated kernels before and afterwards.

  Raises:
    ValueError: an argument is wrong, or there are checkpoints in `output`.
  """
  if output.checkpoints.exists():
    raise ValueError(
        f'{output.path} has checkpoints already: choose another --output.'
    )
  step, variables = checkpoint.best(workdir.checkpoints)
  params, before, after = truncate_all(variables.pop('params'), ratio, skip)
  output.make()
  output.claim(workdir.read_config())
  label_map, channels = workdir.read_labels()
  output.write_labels(label_map, channels, workdir.read_values())
  checkpoints = checkpoint.Checkpoints(output.checkpoints)
  checkpoints.save(step, {'params': params, 'mutable': variables})
  checkpoints.close()
  return before, after


def main(argv):
  """Truncates as the flags say."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  with terminal.errors_in_words():
    before, after = write(
        Workdir(_WORKDIR.value),
        Workdir(_OUTPUT.value),
        _RATIO.value,
        _SKIP.value,
    )
    logging.info(
        'Wrote %s: factors of its kernels have %d numbers, where these have %d,'
        ' %.1f percent less.',
        _OUTPUT.value,
        after,
        before,
        100 * (1 - after / before),
    )


if __name__ == '__main__':
  _WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a trained run.')
  _OUTPUT = flags.DEFINE_string('output', None, 'Folder to write.')
  _RATIO = flags.DEFINE_float(
      'ratio', 0.5, 'Share of the singular values that is kept.'
  )
  _SKIP = flags.DEFINE_string(
      'skip',
      '',
      'Regular expression of the kernels that stay as they are; empty: none.',
  )
  flags.mark_flags_as_required(['workdir', 'output'])
  app.run(main, flags_parser=terminal.parse_flags)
