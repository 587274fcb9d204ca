"""Compares models with fixtures: python -m tests.parity --fixtures DIR.

A fixture is a folder with `spec.json` and `outputs.npz`. Prints a line for each
output; the exit code is 1 if one is too far off, or a fixture has no case.
"""

import argparse
import json
import pathlib
import sys

import jax
import numpy as np

from tests.parity import compare
from tests.parity import reference
from tests.parity.cases import CASES


def main(fixtures, only):
  """Returns whether everything that was asked for agrees."""
  names = only or sorted(
      path.parent.name for path in fixtures.glob('*/spec.json')
  )
  good = True
  for name in names:
    if name not in CASES:
      print(f'{name:40} has no case')
      good = False
      continue
    case = CASES[name]
    spec = json.loads((fixtures / name / 'spec.json').read_text())
    with np.load(fixtures / name / 'outputs.npz') as file:
      expected = {key: file[key] for key in spec['outputs']}
    given = reference.pop_inputs(expected)
    computed = case.compute(spec, given)
    for output, theirs in expected.items():
      if output in case.uncompared:
        print(f'{name:40} {output:24} not compared')
        continue
      error = np.inf
      if output in computed:
        error = compare.error(computed[output], theirs)
      allowed = compare.tolerance(case, spec, output, theirs)
      ok = bool(error <= allowed)
      good &= ok
      print(
          f'{name:40} {output:24} {error:10.2e} {allowed:8.1e}'
          f' {"ok" if ok else "TOO FAR"}',
          flush=True,
      )
    jax.clear_caches()  # All these programs together fill the memory.
  return good


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--fixtures', type=pathlib.Path, required=True)
  parser.add_argument('--only', nargs='*', default=[])
  arguments = parser.parse_args()
  sys.exit(0 if main(arguments.fixtures, arguments.only) else 1)
