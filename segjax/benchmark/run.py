"""Which workers there are, what they build, and what is asked of them."""

import contextlib
import dataclasses
import itertools
import os
import sys
import tempfile

from absl import logging

from segjax.benchmark import measure
from segjax.benchmark import report
from segjax.benchmark.pairs import CLASSES
from segjax.benchmark.pairs import PAIRS
from segjax.benchmark.process import MissingError
from segjax.benchmark.process import Worker
from segjax.benchmark.process import WorkerError

OURS = 'segjax'
DTYPES = ('float32', 'bfloat16')
WHAT = ('forward', 'train', 'pmap', 'compile', 'memory')
PEERS = ('plain', 'torch')
# Another worker that uses more of the CPU while one is timed is told of.
QUIET = 0.05


@dataclasses.dataclass(frozen=True)
class Options:
  """What to measure; the flags tell what each is."""

  models: list[str]
  what: list[str]
  size: tuple[int, int]
  batch: int
  dtype: str
  devices: int
  peers: list[str]
  peer_python: str
  seconds: float
  repeats: int
  profile: str

  def __post_init__(self):
    for flag, given, known in (
        ('models', self.models, PAIRS),
        ('what', self.what, WHAT),
        ('peer', self.peers, PEERS),
    ):
      if unknown := [name for name in given if name not in known]:
        raise ValueError(
            f'--{flag}: there is no {", ".join(unknown)}. Known:'
            f' {", ".join(known)}.'
        )
    if self.devices > 1 and 'torch' in self.peers:
      raise ValueError(
          f'--devices={self.devices}: the peer torch runs on one. Leave out'
          ' --peer=torch, or --devices.'
      )

  @property
  def step(self):
    """What a build is told, whoever makes it."""
    return {
        'classes': CLASSES,
        'size': self.size,
        'batch': self.batch,
        'dtype': self.dtype,
    }


def parse_size(words):
  """Returns (height, width) of one or two words."""
  try:
    sides = [int(word) for word in words]
  except ValueError:
    sides = []
  if len(sides) not in (1, 2) or min(sides) < 1:
    raise ValueError(
        f'--size={",".join(words)}: give a side, as 513, or height and width,'
        ' as 512,1024.'
    )
  return (sides[0], sides[-1])


def run(options):
  """Returns (about, rows); see `report`."""
  rows, hello = [], {}
  with contextlib.ExitStack() as held:
    ours = held.enter_context(jax_worker(options))
    hello[OURS] = ours.ask('hello')
    peak = ours.ask('peak', dtype=options.dtype)
    hello[OURS] |= peak
    theirs = None
    if 'torch' in options.peers:
      theirs = held.enter_context(peer(options, 'torch'))
      hello['torch'] = theirs.ask('hello')
      hello['torch'] |= theirs.ask('peak', dtype=options.dtype)
    for model, what in itertools.product(options.models, options.what):
      logging.info('%s, %s', model, what)
      if what in ('compile', 'memory'):
        found = {'compile': compiling, 'memory': memory}[what](options, model)
      else:
        found = in_turns(
            options, model, what, ours, theirs, peak['flops_per_second']
        )
      report.add_ratios(found, OURS)
      rows += found
  return report.about(hello), rows


def jax_worker(options, **environment):
  """Starts a worker of ours."""
  environment = {
      # Else it takes most of the memory of a GPU at once.
      'XLA_PYTHON_CLIENT_PREALLOCATE': 'false',
      'JAX_ENABLE_COMPILATION_CACHE': 'false',
      **environment,
  }
  visible = ','.join(map(str, range(options.devices)))
  environment.setdefault('CUDA_VISIBLE_DEVICES', visible)
  if options.devices > 1:  # Of a CPU; it changes nothing elsewhere.
    count = f'--xla_force_host_platform_device_count={options.devices}'
    environment['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {count}'
  return Worker(sys.executable, 'segjax.benchmark.jax_worker', environment)


@contextlib.contextmanager
def peer(options, name):
  """Starts the worker of a peer; ValueError says what its environment lacks."""
  python = options.peer_python
  how = (
      f'Make an environment for it:\n  python -m venv peers/{name}\n'
      f'  peers/{name}/bin/pip install -r segjax/benchmark/{name}.txt\n'
      f'and give --peer_python=peers/{name}/bin/python.'
  )
  try:
    worker = Worker(python, f'segjax.benchmark.{name}_worker')
  except OSError as error:
    raise ValueError(
        f'--peer_python={python} cannot be started: {error}. {how}'
    ) from error
  with worker:
    try:
      worker.ask('hello')
    except MissingError as error:
      raise ValueError(
          f'--peer={name}: {python} lacks a package: {error}. {how}'
      ) from error
    yield worker


def builds(options, model, what, ours, theirs):
  """Yields (who, worker, what to tell it) of all that is compared."""
  pair = PAIRS[model]
  step = {'what': 'train' if what == 'pmap' else what, **options.step}
  system = {'system': pair.system, 'fields': pair.fields, **step}
  yield OURS, ours, system
  if what == 'pmap':
    yield f'{OURS} pmap', ours, {**system, 'mode': 'pmap'}
    return
  if 'plain' in options.peers:
    yield f'{OURS} plain', ours, {**system, 'plain': True}
  if theirs and pair.torch:
    net = {'net': pair.torch, **step}
    yield 'torch eager', theirs, net
    yield 'torch compiled', theirs, {**net, 'compiled': True}


def in_turns(options, model, what, ours, theirs, peak):
  """Returns the rows of steps that are timed in turns."""
  made = []
  for who, worker, told in builds(options, model, what, ours, theirs):
    try:
      facts = worker.ask('build', name=who, **told)
    except WorkerError as error:
      if who == OURS:
        raise
      logging.warning('%s of %s is left out: %s', who, model, error)
      continue
    made.append(measure.Build(who, worker, facts))
  timings = measure.alternate(
      made, seconds=options.seconds, repeats=options.repeats
  )
  rows = []
  for build in made:
    timing = timings[build.who]
    if timing.disturbed > QUIET:
      logging.warning(
          'While %s was timed, others used %.0f%% of a core.',
          build.who,
          100 * timing.disturbed,
      )
    rows.append(
        report.row(
            model,
            what,
            build.who,
            timing.seconds,
            options.batch,
            build.facts,
            after=timing.after,
            peak=peak,
        )
    )
  if options.profile:
    ours.ask(
        'profile',
        name=OURS,
        steps=3,
        folder=os.path.join(options.profile, f'{model}-{what}'),
    )
  for build in made:
    build.worker.ask('drop', name=build.who)
  return rows


def compiling(options, model):
  """Returns rows of the time to compile a step, without and with the cache."""
  rows = []
  with tempfile.TemporaryDirectory() as cache:
    for who in (f'{OURS}, empty cache', f'{OURS}, from cache'):
      worker = jax_worker(
          options,
          JAX_ENABLE_COMPILATION_CACHE='true',
          JAX_COMPILATION_CACHE_DIR=cache,
          JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS='0',
          JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES='-1',
      )
      with worker:
        ((_, _, told),) = builds(options, model, 'train', worker, None)
        facts = worker.ask('build', name=who, **told)
      seconds = facts['lower_seconds'] + facts['compile_seconds']
      rows.append(report.row(model, 'compile', who, [seconds], 0, facts))
  return rows


def memory(options, model):
  """Returns rows of the memory of steps, each in a process of its own."""
  rows = []
  for what in ('forward', 'train'):
    with jax_worker(options) as worker:
      ((_, _, told),) = builds(options, model, what, worker, None)
      facts = worker.ask('build', name=what, **told)
      answer = worker.ask('run', name=what, steps=1)
    seconds = answer.pop('seconds')
    rows.append(
        report.row(
            model,
            f'memory, {what}',
            OURS,
            [seconds],
            options.batch,
            facts,
            after=answer,
        )
    )
  return rows
