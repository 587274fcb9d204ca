"""A worker of nothing, for tests: it says how long its steps took."""

import os
import sys

from segjax.benchmark import protocol


class Fake:
  """Answers as the workers do."""

  def hello(self):
    print('a library prints this')
    return {'platform': 'none', 'versions': {}}

  def peak(self, dtype):
    return {'flops_per_second': {'float32': 1e9}[dtype]}

  def build(self, name, **told):
    if told.get('net') == 'unknown':
      raise ValueError('there is no such net')
    return {'parameters': 10, 'products': 200, 'flops': 100.0, 'told': told}

  def build_files(self, name, **told):
    return {'parameters': 10, 'told': told}

  def run(self, name, steps):
    return {'seconds': steps * {'slow': 0.5}.get(name, 0.25), 'peak_bytes': 8}

  def drop(self, name):
    return {}

  def die(self):
    print('these are the last words', file=sys.stderr, flush=True)
    os._exit(3)


def make():
  if 'LACKING' in os.environ:
    import no_such_package  # noqa: F401
  return Fake()


if __name__ == '__main__':
  protocol.serve(make)
