"""Execution of benchmarks: starts workers, builds steps and times them."""

import contextlib
import dataclasses
import itertools
import os
import sys
import tempfile

from absl import logging

from segjax.benchmark import measure
from segjax.benchmark import report
from segjax.benchmark import trace
from segjax.benchmark.pairs import CLASSES
from segjax.benchmark.pairs import MODELS
from segjax.benchmark.process import MissingError
from segjax.benchmark.process import Worker
from segjax.benchmark.process import WorkerError
from segjax.runtime import progress

OURS = 'segjax'
DTYPES = ('float32', 'bfloat16')
STEPS = ('forward', 'train', 'pmap')
WHAT = (*STEPS, 'latency', 'compile', 'memory', 'data', 'predict')
LATENCY_SIZES = ((1024, 2048), (512, 1024))
APART = ('torch', 'keras')  # Peers that run in environments of their own.
PEERS = ('plain', *APART)
TRACED = 3  # Number of steps of a trace.
# CPU use of the other workers, in cores, above which a warning is logged.
QUIET = 0.05


@dataclasses.dataclass(frozen=True)
class Options:
  """What to measure; the flags of `__main__` describe each field."""

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
  folder: str
  threads: int
  workdir: str
  latency_sizes: tuple[tuple[int, int], ...] = LATENCY_SIZES

  def __post_init__(self):
    for flag, names, known in (
        ('models', self.models, MODELS),
        ('what', self.what, WHAT),
        ('peer', self.peers, PEERS),
    ):
      if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f'--{flag}: there is no {", ".join(unknown)}. Known:'
            f' {", ".join(known)}.'
        )
    if 'predict' in self.what and not self.workdir:
      raise ValueError(
          '--what=predict needs a trained run: name its folder by --workdir.'
      )
    if self.devices > 1 and set(self.peers) & set(APART):
      raise ValueError(
          f'--devices={self.devices}: peers other than plain run on one device.'
          f' Leave out --peer={",".join(self.peers)}, or --devices.'
      )
    if set(APART) <= set(self.peers):
      raise ValueError(
          f'--peer={",".join(self.peers)}: there is only one --peer_python.'
          ' Compare with one of them at a time.'
      )

  @property
  def step(self):
    """Arguments of 'build' that all workers take."""
    return {
        'classes': CLASSES,
        'size': self.size,
        'batch': self.batch,
        'dtype': self.dtype,
    }


def parse_size(words):
  """Parses one or two words into (height, width)."""
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


def run(options, hello):
  """Yields lists of rows as they are measured; see `report`.

  Args:
    options: what to measure.
    hello: dictionary to which {worker: its answer to 'hello'} is added.
  """
  if set(options.what) & set(STEPS):
    yield from stepwise(options, hello)
  if 'latency' in options.what:
    yield from latencies(options, hello)
  for what, model in itertools.product(('compile', 'memory'), options.models):
    if what in options.what:
      logging.info('%s, %s', model, what)
      yield {'compile': compiling, 'memory': memory}[what](options, model)
  if 'data' in options.what:
    # It imports libraries that the other benchmarks do not need.
    from segjax.benchmark import data

    yield data.rows(options)
  if 'predict' in options.what:
    yield predicting(options)


def stepwise(options, hello):
  """Yields lists of rows of steps; see `run`."""
  with contextlib.ExitStack() as stack:
    workers = {OURS: stack.enter_context(jax_worker(options))}
    for name in APART:
      if name in options.peers:
        workers[name] = stack.enter_context(peer(options, name))
    for name, worker in workers.items():
      hello[name] = worker.ask('hello') | worker.ask(
          'peak', dtype=options.dtype
      )
    for model, what in itertools.product(options.models, options.what):
      if what in STEPS:
        logging.info('%s, %s', model, what)
        peak = hello[OURS]['flops_per_second']
        rows = in_turns(options, model, what, workers, peak)
        report.add_ratios(rows, OURS)
        yield rows


def latencies(options, hello):
  """Yields lists of rows of single images, for each model and size.

  What is timed is the network, from an image to a label map on the device, and
  in segjax the way from a file to a written label map, too.
  """
  with contextlib.ExitStack() as stack:
    workers = {OURS: stack.enter_context(jax_worker(options))}
    if 'torch' in options.peers:
      workers['torch'] = stack.enter_context(peer(options, 'torch'))
    for name, worker in workers.items():
      hello[name] = worker.ask('hello')
    pairs = list(itertools.product(options.models, options.latency_sizes))
    for model, size in progress.track(pairs, len(pairs), 'Networks'):
      logging.info('%s, latency at %d x %d', model, *size)
      one = dataclasses.replace(options, size=size, batch=1)
      built = []
      for who, worker, arguments in builds(one, model, 'forward', workers):
        built.append(_built(who, worker, model, 'build', arguments))
        if who == OURS:
          files = {'of': OURS, 'classes': CLASSES, 'size': size}
          who = f'{OURS}, from file to file'
          built.append(_built(who, worker, model, 'build_files', files))
      built = [build for build in built if build]
      steps = measure.single_steps(
          built, seconds=options.seconds, fewest=options.repeats
      )
      rows = [
          report.latency_row(
              model, size, build.who, steps[build.who], build.facts
          )
          for build in built
      ]
      for build in built:
        build.worker.ask('drop', name=build.who)
      report.add_ratios(rows, OURS)
      yield rows


def _built(who, worker, model, how, arguments):
  """Returns a `Build`, or None, which is logged, if a peer cannot make it."""
  try:
    facts = worker.ask(how, name=who, **arguments)
  except WorkerError as error:
    if who.startswith(OURS):
      raise
    logging.warning('%s of %s is left out: %s', who, model, error)
    return None
  return measure.Build(who, worker, facts)


def jax_worker(options, **environment):
  """Starts a worker of segjax with additional environment variables."""
  environment = {
      # By default JAX allocates most of the memory of a GPU at once.
      'XLA_PYTHON_CLIENT_PREALLOCATE': 'false',
      'JAX_ENABLE_COMPILATION_CACHE': 'false',
      **environment,
  }
  visible = os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',')
  if visible == ['']:
    visible = map(str, range(options.devices))
  first = itertools.islice(visible, options.devices)
  environment['CUDA_VISIBLE_DEVICES'] = ','.join(first)
  if options.devices > 1:  # The flag only affects CPUs.
    count = f'--xla_force_host_platform_device_count={options.devices}'
    flags = environment.get('XLA_FLAGS', os.environ.get('XLA_FLAGS', ''))
    environment['XLA_FLAGS'] = f'{flags} {count}'
  return Worker(sys.executable, 'segjax.benchmark.jax_worker', environment)


@contextlib.contextmanager
def peer(options, name):
  """Starts the worker of a peer; raises ValueError if a package is missing."""
  python = options.peer_python
  how = (
      f'Make an environment for it, as segjax/benchmark/{name}.txt says in its'
      f' first lines, and give --peer_python=peers/{name}/bin/python.'
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


def builds(options, model, what, workers):
  """Yields (who, worker, arguments of 'build') of all builds to compare.

  Args:
    options: options of the benchmark.
    model: key of `MODELS`.
    what: element of `STEPS`.
    workers: {name: worker}, ours and those of peers.
  """
  pair = MODELS[model]
  step = {'what': 'train' if what == 'pmap' else what, **options.step}
  ours = {'system': pair.system, 'fields': pair.fields, **step}
  yield OURS, workers[OURS], ours
  if what == 'pmap':
    yield f'{OURS} pmap', workers[OURS], {**ours, 'mode': 'pmap'}
    return
  if 'plain' in options.peers:
    yield f'{OURS} plain', workers[OURS], {**ours, 'plain': True}
  if 'torch' in workers and pair.torch:
    theirs = {'net': pair.torch, **step}
    yield 'torch eager', workers['torch'], theirs
    yield 'torch compiled', workers['torch'], {**theirs, 'compiled': True}
  if 'keras' in workers and pair.keras:
    yield 'keras', workers['keras'], {'net': pair.keras, **step}


def in_turns(options, model, what, workers, peak):
  """Builds the steps to compare and returns the rows of their times."""
  built = []
  for who, worker, arguments in builds(options, model, what, workers):
    built.append(_built(who, worker, model, 'build', arguments))
  built = [build for build in built if build]
  timings = measure.alternate(
      built, seconds=options.seconds, repeats=options.repeats
  )
  rows = []
  for build in built:
    timing = timings[build.who]
    if timing.disturbed > QUIET:
      logging.warning(
          'While %s was timed, other workers used %.0f%% of a core.',
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
    folder = os.path.join(options.profile, f'{model}-{what}')
    rows[0]['kernels'] = traced(workers[OURS], folder)
  for build in built:
    build.worker.ask('drop', name=build.who)
  return rows


def traced(worker, folder):
  """Writes a trace of our steps; returns {kernel: seconds per step}."""
  worker.ask('profile', name=OURS, steps=TRACED, folder=os.path.abspath(folder))
  try:
    kernels = trace.read(folder)
  except (OSError, ValueError) as error:  # The times do not depend on it.
    logging.warning('The trace cannot be read: %s', error)
    return {}
  return {kernel: spent / TRACED for kernel, spent in kernels.items()}


def compiling(options, model):
  """Returns rows of the time to compile a step, without and with the cache."""
  rows, alone = [], dataclasses.replace(options, peers=[])
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
        ((_, _, arguments),) = builds(alone, model, 'train', {OURS: worker})
        facts = worker.ask('build', name=who, **arguments)
      seconds = facts['lower_seconds'] + facts['compile_seconds']
      rows.append(report.row(model, 'compile', who, [seconds], 0, facts))
  return rows


def memory(options, model):
  """Returns rows of the memory of steps, each in a process of its own."""
  rows, alone = [], dataclasses.replace(options, peers=[])
  for name, extra in (
      ('forward', {}),
      ('train', {}),
      ('train', {'remat': True}),
  ):
    who = f'{OURS} remat' if extra else OURS
    with jax_worker(options) as worker:
      ((_, _, arguments),) = builds(alone, model, name, {OURS: worker})
      facts = worker.ask('build', name=who, **arguments, **extra)
      timing = measure.alternate(
          [measure.Build(who, worker, facts)],
          seconds=options.seconds,
          repeats=options.repeats,
      )[who]
    rows.append(
        report.row(
            model,
            f'memory, {name}',
            who,
            timing.seconds,
            options.batch,
            facts,
            after=timing.after,
        )
    )
  return rows


def predicting(options):
  """Returns the row of predictions of a trained run, from host to host."""
  module = 'segjax.benchmark.predict_worker'
  with Worker(sys.executable, module) as worker:
    facts = worker.ask(
        'build',
        name=OURS,
        workdir=os.path.abspath(options.workdir),
        size=options.size,
    )
    timings = measure.alternate(
        [measure.Build(OURS, worker, facts)],
        seconds=options.seconds,
        repeats=options.repeats,
    )
  seconds = timings[OURS].seconds
  return [report.row(options.workdir, 'predict', OURS, seconds, 1, facts)]
