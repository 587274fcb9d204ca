"""The loop: data, state, restore, step, log, evaluate, save."""

import contextlib
import itertools
import time

from absl import logging
from clu import parameter_overview
import jax
import numpy as np

from segjax import evaluate
from segjax import experiment
from segjax import optim
from segjax import parallel
from segjax.artifacts import summaries
from segjax.artifacts import warm_start
from segjax.artifacts.checkpoint import Checkpoints
from segjax.convert import sources
from segjax.convert import workdirs
from segjax.evaluation import collections
from segjax.layers.norm import precise_statistics
from segjax.runtime import compile_cache
from segjax.runtime import hosts
from segjax.runtime import machine
from segjax.runtime import malloc
from segjax.runtime import progress
from segjax.runtime import sigterm
from segjax.runtime import usage


class DivergedError(ValueError):
  """Too many steps in a row had a gradient that was not finite."""


def run(config, workdir, stopped_code=None):
  """Locks a workdir and trains in it; `--mode=train`.

  Args:
    config: see configs/common.py.
    workdir: a `Workdir`.
    stopped_code: exit code of the program if SIGTERM stops it; None where the
      run is a part of another program, which gets `sigterm.Stopped`.
  """
  sources.find(config.init_from)  # A wrong name is an error before all else.
  hosts.from_first(workdir.make)
  with contextlib.ExitStack() as stack:
    hosts.from_first(stack.enter_context, workdir.locked())
    hosts.from_first(workdir.claim, config)
    notice = stack.enter_context(sigterm.noticed(stopped_code))
    return train(config, workdir, notice)


def train(config, workdir, notice):
  """Trains to the end, from the last checkpoint of a workdir if it has one.

  The state after a step is a pure function of the config. So a run that was
  killed and resumed ends with the same state as one that was not.

  Args:
    config: see configs/common.py.
    workdir: a `Workdir` that belongs to this config, see `Workdir.claim`.
    notice: a `sigterm.Notice`.

  Returns:
    The scores of the last evaluation.

  Raises:
    DivergedError: `config.max_bad_steps` steps in a row had to be skipped.
    OSError: the workdir cannot be written.
    sigterm.Stopped: the process got SIGTERM.
  """
  checkpoints = hosts.OnFirst(Checkpoints, workdir.checkpoints, config.keep)
  checkpoints.prune()
  if scores := checkpoints.scores(config.total_steps):
    logging.info('This run is finished; nothing is left to do.')
    report(workdir, config, hosts.from_first(workdir.read_labels)[0], scores)
    return scores

  hosts.from_first(lambda: workdir.note_start(machine.start()))
  started_at = time.monotonic()
  setup = experiment.training(config)
  eval_set = experiment.eval_dataset(config)
  experiment.check_eval_sample(config, setup.dataset, eval_set)
  evaluation = experiment.evaluation(
      config, setup.system, eval_set, setup.dataset.values
  )
  hosts.from_first(
      workdir.write_labels,
      setup.dataset.label_map,
      setup.dataset.channels,
      setup.dataset.values,
  )
  scores = loop(setup, evaluation, workdir, checkpoints, notice, started_at)
  report(workdir, config, setup.dataset.label_map, scores)
  return scores


def loop(setup, evaluation, workdir, checkpoints, notice, started_at):
  """Runs all remaining steps, with logging, checkpoints and evaluation.

  A step is saved before it is evaluated, so that a fault of the evaluation, or
  a stop, costs no work. The scores are added to the checkpoint afterwards, and
  what they change in the state follows from them: a run that begins with a
  checkpoint which lacks them evaluates it first.

  Args:
    setup: from `experiment.training`.
    evaluation: from `experiment.evaluation`.
    workdir: a `Workdir`, for summaries and pictures.
    checkpoints: the `Checkpoints` of the run.
    notice: a `sigterm.Notice`.
    started_at: start of the program, by `time.monotonic`.

  Returns:
    The scores of the last evaluation.
  """
  layout = setup.layout
  best = setup.system.task.BEST
  state = layout.place(initial_state(setup, checkpoints))
  first = int(state.step)
  step_fn = layout.compile_step(setup.step, state)
  collect = layout.compile_step(setup.statistics_step, state)
  previous_scalars = None

  def to_score(step):
    return step == setup.total_steps or step % setup.eval_every == 0

  with (
      contextlib.closing(checkpoints),
      contextlib.closing(setup.batches(first)) as batches,
      contextlib.closing(hosts.OnFirst(summaries.Writer, workdir)) as writer,
  ):
    score = make_score(evaluation, workdir, writer, checkpoints, notice)
    scores = None
    if first and to_score(first):
      scores = checkpoints.scores(first) or score(first, state)
      state = observed(state, scores[best])
    record = Record(batches, setup.batch_size)
    for step in stepping(setup, workdir, first):
      batch = layout.shard(record.next_batch())
      with jax.profiler.StepTraceAnnotation('train', step_num=step):
        state, scalars = step_fn(state, batch)
      record.add(scalars)
      # The host runs one step ahead of the devices. Without this wait it would
      # run further ahead, and batches would accumulate in memory.
      jax.block_until_ready(previous_scalars)
      note_if_skipped(setup, workdir, step - 1, previous_scalars)
      previous_scalars = scalars
      if step == first + 1:
        jax.block_until_ready(scalars)
        notice.at_once = False
        report_start(time.monotonic() - started_at)

      last = step == setup.total_steps
      stopped = notice.asked() and not last
      to_save = to_score(step) or stopped or step % setup.checkpoint_every == 0
      # Averages of scalars are not part of the state. They are written whenever
      # the state is saved, so that a resumed run writes the same numbers.
      if to_save or step % setup.log_every == 0:
        note_if_skipped(setup, workdir, step, scalars)
        previous_scalars = None
        check_finite(state, setup.max_bad_steps, checkpoints)
        writer.write_scalars(step, record.read(state))
      with record.paused():
        if to_score(step):
          state = recompute_norms(setup, collect, state, step)
        if to_save:
          writer.flush()
          checkpoints.save(step, parallel.whole(state))
        if stopped:
          checkpoints.wait()
          notice.stop(f'step {step} is saved.')
        if to_score(step):
          scores = score(step, state)
          state = observed(state, scores[best])
          malloc.trim()
  return scores


def note_if_skipped(setup, workdir, step, scalars):
  """Writes down a step whose loss or gradient was not finite.

  Args:
    setup: from `experiment.training`.
    workdir: of the run.
    step: its number.
    scalars: that it returned; None if it has been looked at.
  """
  if scalars is None or np.isfinite(scalars['loss']):
    return
  if hosts.is_first():
    names = setup.names(step)
    workdir.note_bad_step(step, setup.seed, names)
    logging.warning(
        'Step %d is skipped: its loss or gradient is not finite. Its examples:'
        ' %s. What was not finite first is found by python -m segjax.doctor'
        ' --workdir=%s --replay=%d',
        step,
        ', '.join(names),
        workdir.path,
        step,
    )


def recompute_norms(setup, collect, state, step):
  """Returns a state whose batch norms have precise statistics, if asked for.

  They are of the batches of the steps that follow, so that a resumed run has
  the same.

  Args:
    setup: from `experiment.training`.
    collect: compiled `setup.statistics_step`.
    state: of the run.
    step: number of the last step.
  """
  if not setup.precise_norms:
    return state

  def apply(variables, batch):
    nonlocal state
    del variables  # They are those of the state.
    state, changed = collect(state, setup.layout.shard(batch))
    return changed

  with contextlib.closing(setup.batches(step)) as batches:
    mutable = precise_statistics(
        apply, state.mutable, itertools.islice(batches, setup.precise_norms)
    )
  return setup.layout.place(state.replace(mutable=mutable))


def observed(state, score):
  """Returns the state after an evaluation."""
  return state.replace(opt_state=optim.observe(state.opt_state, score))


def initial_state(setup, checkpoints):
  """Returns the state to begin with.

  It is the newest readable checkpoint, else a new state with the variables of
  `config.init_from`, else a new state.
  """
  state = setup.init()
  table = parameter_overview.get_parameter_overview
  logging.info('Parameters:\n%s', table(jax.device_get(state.params)))
  restored = checkpoints.restore(state)
  if restored is None:
    return first_state(setup, state)
  logging.info(
      'Going on from step %d, with parameters:\n%s',
      restored.step,
      table(jax.device_get(restored.params)),
  )
  return restored


def first_state(setup, state):
  """Returns a new state with the variables of `config.init_from`, if given."""
  if not setup.init_from:
    return state

  def start():
    if named := sources.find(setup.init_from):
      origin, saved = named.title, workdirs.read_named(named)
    else:
      origin, saved = warm_start.read(setup.init_from)
    return warm_start.start(
        state,
        saved,
        origin,
        init_only=setup.init_only,
        channels=setup.dataset.channels,
    )

  return hosts.from_first(start)


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


def make_score(evaluation, workdir, writer, checkpoints, notice):
  """Returns `score(step, state)`, which evaluates a step that is saved.

  It writes and tells the scores, and adds them to the checkpoint. SIGTERM ends
  it between two images.
  """

  def score(step, state):
    def look():
      if notice.asked():
        checkpoints.wait()
        notice.stop(f'step {step} is saved.')

    try:
      scores, drawn = evaluate.score(
          evaluation, evaluation.predictor(state.variables), look
      )
    except Exception:
      checkpoints.wait()
      logging.error(
          'Step %d is saved, and its evaluation has failed. The same command'
          ' goes on with this evaluation.',
          step,
      )
      raise
    writer.write_scalars(step, {f'val/{k}': v for k, v in scores.items()})
    writer.write_images(step, {f'val/{k}': v[None] for k, v in drawn.items()})
    hosts.from_first(workdir.write_pictures, f'step-{step}', drawn)
    logging.info('Step %d: %s', step, evaluate.describe(evaluation, scores))
    writer.flush()
    checkpoints.add_scores(step, scores, evaluation.task.BEST)
    return scores

  return score


def stepping(setup, workdir, first):
  """Yields the steps that are left and shows progress; profiles if asked."""
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
  """Returns functions of the step, to be called after each."""
  # It imports TensorFlow, which takes longer than a start without.
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
  """Writes the score, and says how the run ended and where everything is."""
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
      experiment.eval_split(config),
      config.total_steps,
      scores[best],
      score,
      workdir.checkpoints,
      workdir.path / 'tensorboard',
      workdir.metrics,
      workdir.pictures,
  )


class Record:
  """What happened in the steps since it was read last."""

  def __init__(self, batches, batch_size):
    self._batches = batches
    self._batch_size = batch_size
    self._reset()

  def _reset(self):
    self._start, self._steps, self._scalars = time.monotonic(), 0, None
    self._waited = self._paused = 0.0

  def next_batch(self):
    """Returns the next batch and measures the wait for it."""
    start = time.monotonic()
    batch = next(self._batches)
    self._waited += time.monotonic() - start
    return batch

  def add(self, scalars):
    """Adds what a step returned; does not wait for it."""
    now = collections.train(tuple(scalars)).single_from_model_output(**scalars)
    self._scalars = self._scalars.merge(now) if self._scalars else now
    self._steps += 1

  @contextlib.contextmanager
  def paused(self):
    """Around what is not training."""
    start = time.monotonic()
    yield
    self._paused += time.monotonic() - start

  def read(self, state):
    """Returns scalars by name, and begins anew."""
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
