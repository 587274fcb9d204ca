"""Makes small fixtures of full ones: python -m tests.parity.compact FOLDER ...

A full fixture is a folder with `spec.json` (source, structure, input, names
and shapes of the tensors) and `outputs.npz` (what the original computes). Of
each output some values at fixed positions are kept, and inputs whole.
"""

import pathlib
import sys

import numpy as np

from tests.parity import reference


def compact(folder):
  folder = pathlib.Path(folder)
  with np.load(folder / 'outputs.npz') as file:
    sampled = dict(file)
  sampled = reference.pop_inputs(sampled) | {
      name: reference.sample(name, output) for name, output in sampled.items()
  }
  target = pathlib.Path(__file__).parent / 'fixtures' / f'{folder.name}.npz'
  spec = (folder / 'spec.json').read_text()
  np.savez_compressed(target, spec=spec, **sampled)
  print(f'{target}: {target.stat().st_size} bytes')


if __name__ == '__main__':
  for argument in sys.argv[1:]:
    compact(argument)
