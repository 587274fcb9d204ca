"""The training loop: steps, logging, evaluation and checkpoints."""

import contextlib
import signal
import threading
import time

from absl import logging
from clu import parameter_overview
import jax

from segjax import evaluate
from segjax import experiment
from segjax import optim
from segjax import parallel
from segjax.artifacts import summaries
from segjax.artifacts import warm_start
from segjax.artifacts.checkpoint import Checkpoints
from segjax.evaluation import collections
from segjax.runtime import compile_cache
from segjax.runtime import hosts
from segjax.runtime import malloc
from segjax.runtime import progress
from segjax.runtime import usage


class DivergedError(ValueError):
  """Too many steps in a row had a gradient that was not finite."""


class Stopped(SystemExit):  # noqa: N818  It ends the program without an error.
  """The run was stopped by SIGTERM after its state was saved."""


def run(config, workdir):
  """Locks a workdir and trains in it; `--mode=train`."""
  hosts.from_first(workdir.make)
  with contextlib.ExitStack() as stack:
    hosts.from_first(stack.enter_context, workdir.locked())
    hosts.from_first(workdir.claim, config)
    return train(config, workdir)


def train(config, workdir):
  """Trains to the end, from the last checkpoint of a workdir if it has one.

  The state after a step is a pure function of the config. So a run that was
  killed and resumed ends with the same state as one that was not.

  Args:
    config: see configs/common.py.
    workdir: a `Workdir` that belongs to this config, see `Workdir.claim`.

  Returns:
    The scores of the last evaluation.

  Raises:
    DivergedError: `config.max_bad_steps` steps in a row had to be skipped.
    OSError: the workdir cannot be written.
    Stopped: the process got SIGTERM.
  """
  checkpoints = hosts.OnFirst(Checkpoints, workdir.checkpoints, config.keep)
  if scores := checkpoints.scores(config.total_steps):
    logging.info('This run is finished; nothing is left to do.')
    report(workdir, config, hosts.from_first(workdir.read_labels)[0], scores)
    return scores

  started_at = time.monotonic()
  setup = experiment.training(config)
  evaluation = experiment.evaluation(
      config, setup.system, experiment.eval_dataset(config)
  )
  hosts.from_first(
      workdir.write_labels, setup.dataset.label_map, setup.dataset.channels
  )
  scores = loop(setup, evaluation, workdir, checkpoints, started_at)
  report(workdir, config, setup.dataset.label_map, scores)
  return scores


def loop(setup, evaluation, workdir, checkpoints, started_at):
  """Runs all remaining steps, with logging, evaluation and checkpoints.

  Args:
    setup: from `experiment.training`.
    evaluation: from `experiment.evaluation`.
    workdir: a `Workdir`, for summaries and pictures.
    checkpoints: the `Checkpoints` of the run.
    started_at: start of the program, by `time.monotonic`.

  Returns:
    The scores of the last evaluation.
  """
  layout = setup.layout
  state = layout.place(initial_state(setup, checkpoints))
  first = int(state.step)
  step_fn = layout.compile_step(setup.step, state)
  previous_scalars = None
  with (
      watch_sigterm() as stop_requested,
      contextlib.closing(checkpoints),
      contextlib.closing(setup.batches(first)) as batches,
      contextlib.closing(hosts.OnFirst(summaries.Writer, workdir)) as writer,
  ):
    score = make_score(evaluation, workdir, writer)
    record = Record(batches, setup.batch_size)
    for step in stepping(setup, workdir, first):
      batch = layout.shard(record.next_batch())
      with jax.profiler.StepTraceAnnotation('train', step_num=step):
        state, scalars = step_fn(state, batch)
      record.add(scalars)
      # The host runs one step ahead of the devices. Without this wait it would
      # run further ahead, and batches would accumulate in memory.
      jax.block_until_ready(previous_scalars)
      previous_scalars = scalars
      if step == first + 1:
        jax.block_until_ready(scalars)
        report_start(time.monotonic() - started_at)

      last = step == setup.total_steps
      stopped = stop_requested(step) and not last
      to_score = last or step % setup.eval_every == 0
      to_save = to_score or stopped or step % setup.checkpoint_every == 0
      # Averages of scalars are not part of the state. They are written whenever
      # the state is saved, so that a resumed run writes the same numbers.
      if to_save or step % setup.log_every == 0:
        check_finite(state, setup.max_bad_steps, checkpoints)
        writer.write_scalars(step, record.read(state))
      with record.paused():
        scores = None
        if to_score:
          scores = score(step, state)
          best = scores[setup.system.task.BEST]
          state = state.replace(opt_state=optim.observe(state.opt_state, best))
        if to_save:
          writer.flush()
          checkpoints.save(
              step, parallel.whole(state), scores, setup.system.task.BEST
          )
        if to_score:
          malloc.trim()
      if stopped:
        checkpoints.wait()
        logging.info('Stopped by SIGTERM; step %d is saved.', step)
        raise Stopped(0)
  return scores


def initial_state(setup, checkpoints):
  """Returns the state to begin with.

  It is the newest readable checkpoint, else a new state with the variables of
  `config.init_from`, else a new state.
  """
  state = setup.init()
  overview = parameter_overview.get_parameter_overview
  logging.info('Parameters:\n%s', overview(jax.device_get(state.params)))
  restored = checkpoints.restore(state)
  if restored is None and setup.init_from:
    return hosts.from_first(
        warm_start.start,
        state,
        setup.init_from,
        setup.init_only,
        setup.dataset.channels,
    )
  if restored is None:
    return state
  logging.info(
      'Going on from step %d, with parameters:\n%s',
      restored.step,
      overview(jax.device_get(restored.params)),
  )
  return restored


def report_start(seconds):
  """Logs the seconds up to the first step, and how many were compilation."""
  work = compile_cache.WORK
  logging.info(
      'The first step is done after %.1f s, of which compiling took %.1f s: %d'
      ' of %d programs were in the compilation cache.',
      seconds,
      work.seconds,
      work.cache_hits,
      work.programs,
  )


def make_score(evaluation, workdir, writer):
  """Returns `score(step, state)`, which evaluates and records the scores."""
  run_evaluation = evaluate.make(evaluation)

  def score(step, state):
    scores, pictures = run_evaluation(state.variables)
    writer.write_scalars(step, {f'val/{k}': v for k, v in scores.items()})
    writer.write_images(
        step, {f'val/{k}': v[None] for k, v in pictures.items()}
    )
    hosts.from_first(workdir.write_pictures, f'step-{step}', pictures)
    logging.info('Step %d: %s', step, evaluate.describe(evaluation, scores))
    return scores

  return score


def stepping(setup, workdir, first):
  """Yields the remaining steps, shows progress, and profiles if configured."""
  steps = range(first + 1, setup.total_steps + 1)
  if progress.on_terminal():
    steps = progress.bar(steps, setup.total_steps, 'Training', first)
  hooks = []
  for step in steps:
    yield step
    if step == first + 1:
      hooks = make_hooks(setup, workdir, first)
    for hook in hooks:
      hook(step)


def make_hooks(setup, workdir, first):
  """Returns functions `hook(step)` that are called after each step."""
  # This imports TensorFlow, which would delay the first step.
  from clu import periodic_actions

  hooks = []
  if not progress.on_terminal():
    hooks.append(
        periodic_actions.ReportProgress(
            num_train_steps=setup.total_steps, every_secs=progress.SECONDS
        )
    )
  if setup.profile and hosts.is_first():
    hooks.append(
        periodic_actions.Profile(
            logdir=str(workdir.path / 'tensorboard'),
            first_profile=first + 10,
            every_secs=None,
        )
    )
  return hooks


def memory(config):
  """Returns the bytes that a training step takes on each device, by use."""
  setup = experiment.training(config)
  state = jax.eval_shape(setup.init)
  batch = setup.layout.shard_shapes(setup.batch)
  step = setup.layout.compile_step(setup.step, state)
  analysis = step.lower(state, batch).compile().memory_analysis()
  return {
      'arguments': analysis.argument_size_in_bytes,
      'temporaries': analysis.temp_size_in_bytes,
      'outputs': (analysis.output_size_in_bytes - analysis.alias_size_in_bytes),
  }


def check_finite(state, max_bad_steps, checkpoints):
  """Raises `DivergedError` if too many steps in a row had to be skipped."""
  if int(state.bad_steps) < max_bad_steps:
    return
  checkpoints.wait()
  good = max(checkpoints.steps(), default=None)
  raise DivergedError(
      f'The loss or its gradient was not finite in {max_bad_steps} steps'
      f' in a row, up to step {int(state.step)}. '
      + (
          f'The last good checkpoint is step {good}. '
          if good
          else 'There is no checkpoint yet. '
      )
      + 'Lower config.lr.base, set config.optim.clip, or look at the data with'
      ' python -m segjax.doctor.'
  )


def report(workdir, config, label_map, scores):
  """Writes the final scores, and logs them with the paths of the run."""
  best = experiment.task(config).BEST
  about = experiment.about(config, label_map)
  score = hosts.from_first(
      workdir.write_score, about, config.total_steps, scores
  )
  logging.info(
      '%s %s on %s after %d steps: %.4f\n'
      '  score        %s\n  checkpoints  %s\n  summaries    %s and %s\n'
      '  pictures     %s',
      config.dataset.name,
      best,
      config.dataset.eval_split,
      config.total_steps,
      scores[best],
      score,
      workdir.checkpoints,
      workdir.path / 'tensorboard',
      workdir.metrics,
      workdir.pictures,
  )


@contextlib.contextmanager
def watch_sigterm():
  """Yields a function of the step that tells whether SIGTERM has come.

  Clusters send SIGTERM before they preempt a job.
  """
  if hosts.count() > 1:  # JAX handles the signal, and tells all hosts of it.
    yield hosts.preempted
    return
  received = threading.Event()
  if threading.current_thread() is not threading.main_thread():
    yield lambda step: False  # Only the main thread can handle signals.
    return
  previous = signal.signal(signal.SIGTERM, lambda *_: received.set())
  try:
    yield lambda step: received.is_set()
  finally:
    signal.signal(signal.SIGTERM, previous)


class Record:
  """Averages scalars and measures speed over steps since the last `read`."""

  def __init__(self, batches, batch_size):
    self._batches = batches
    self._batch_size = batch_size
    self._reset()

  def _reset(self):
    """Starts a new period of measurement."""
    self._start, self._steps, self._scalars = time.monotonic(), 0, None
    self._waited = self._paused = 0.0

  def next_batch(self):
    """Returns the next batch and measures the wait for it."""
    start = time.monotonic()
    batch = next(self._batches)
    self._waited += time.monotonic() - start
    return batch

  def add(self, scalars):
    """Adds the scalars of a step, without waiting for the devices."""
    now = collections.train(tuple(scalars)).single_from_model_output(**scalars)
    self._scalars = self._scalars.merge(now) if self._scalars else now
    self._steps += 1

  @contextlib.contextmanager
  def paused(self):
    """Excludes the time that the context takes from the speed of training."""
    start = time.monotonic()
    yield
    self._paused += time.monotonic() - start

  def read(self, state):
    """Returns {name: value} of averages and speeds, and starts anew."""
    scalars = self._scalars.compute()
    seconds = time.monotonic() - self._start - self._paused
    images = self._steps * self._batch_size
    written = {f'train/{name}': value for name, value in scalars.items()}
    written |= {
        'train/skipped_steps': int(state.skipped),
        'speed/steps_per_second': self._steps / seconds,
        'speed/images_per_second_per_device': (
            images / seconds / parallel.count()
        ),
        'speed/data_wait_share': self._waited / seconds,
        'speed/skipped_examples': self._batches.skipped,
    }
    written |= usage.measures()
    self._reset()
    return written
