"""The loop: data, state, restore, step, log, evaluate, save."""

import contextlib
import signal
import threading
import time

from absl import logging
from clu import parameter_overview
from clu import periodic_actions
import jax
import jax.numpy as jnp

from segjax import evaluate
from segjax import experiment
from segjax import metrics
from segjax import parallel
from segjax import summaries
from segjax.checkpoint import Checkpoints


class DivergedError(ValueError):
  """The gradient was not finite too many times in a row."""


def train(config, workdir):
  """Trains to the end, from where the workdir is; `--mode=train`.

  The state after a step is a pure function of the config, so a run that was
  killed and started again ends as one that was not.

  Args:
    config: see configs/common.py.
    workdir: a `Workdir`, claimed for this config.

  Returns:
    The scores of the last evaluation.

  Raises:
    DivergedError: `config.max_bad_steps` steps in a row had to be skipped.
    OSError: the workdir cannot be written.
  """
  checkpoints = Checkpoints(workdir.checkpoints, config.keep)
  finished = max(checkpoints.steps(), default=0) >= config.total_steps
  if finished and (scores := checkpoints.scores(config.total_steps)):
    logging.info('This run is finished; nothing is left to do.')
    report(workdir, config, scores)
    return scores

  setup = experiment.training(config)
  eval_set = experiment.dataset(config, config.dataset.eval_split)
  workdir.write_labels(setup.dataset.label_map, setup.batch_shape[-1])
  forward = experiment.make_forward(config, setup.dataset.label_map.num_classes)
  step_fn = parallel.compile_step(setup.step, config.parallel)

  state = setup.init()
  logging.info(
      'Parameters:\n%s',
      parameter_overview.get_parameter_overview(
          state.params, include_stats='global'
      ),
  )
  if (restored := checkpoints.restore(state)) is not None:
    state = restored
    logging.info('Going on from step %d.', state.step)
  step = int(state.step)

  batches = setup.batches(step)
  writer = summaries.writer(workdir)
  hooks = [
      periodic_actions.ReportProgress(
          num_train_steps=config.total_steps, every_secs=10
      )
  ]
  if config.profile:
    hooks.append(
        periodic_actions.Profile(
            logdir=str(workdir.path / 'tensorboard'),
            first_profile=step + 10,
            every_secs=None,
        )
    )
  stop = stop_on_sigterm()
  meter = Meter(config.batch_size)
  reports, scores, ahead = None, {}, None
  while step < config.total_steps:
    with meter.waiting():
      batch = next(batches)
    with jax.profiler.StepTraceAnnotation('train', step_num=step):
      state, scalars = step_fn(state, parallel.shard(batch, config.parallel))
    step += 1
    # One step ahead of the devices is enough; more would pile up batches.
    jax.block_until_ready(ahead)
    ahead = scalars
    for hook in hooks:
      hook(step)
    kind = metrics.train(tuple(scalars))
    report_now = kind.single_from_model_output(**scalars)
    reports = report_now if reports is None else reports.merge(report_now)

    last = step == config.total_steps
    to_evaluate = last or step % config.eval_every == 0
    to_save = (
        to_evaluate or step % config.checkpoint_every == 0 or stop.is_set()
    )
    # What was averaged since is not part of the state: it is written whenever
    # the state is, and a resumed run writes the same.
    if to_save or step % config.log_every == 0:
      check_finite(state, config, checkpoints)
      written = {f'train/{k}': v for k, v in reports.compute().items()}
      written['train/skipped_steps'] = int(state.skipped)
      written |= {f'speed/{k}': v for k, v in meter.read().items()}
      written['speed/skipped_examples'] = batches.skipped
      writer.write_scalars(step, written)
      reports = None
    if to_evaluate:
      with meter.paused():
        scores, drawn = evaluate.evaluate(
            config,
            forward,
            state.variables,
            eval_set,
            num_pictures=config.num_pictures,
        )
      writer.write_scalars(step, {f'val/{k}': v for k, v in scores.items()})
      writer.write_images(step, {f'val/{k}': v[None] for k, v in drawn.items()})
      workdir.write_pictures(f'step-{step}', drawn)
      logging.info(
          'Step %d: %s', step, evaluate.describe(scores, config.absent)
      )
    if to_save:
      with meter.paused():
        checkpoints.save(step, state, scores if to_evaluate else None)
    if stop.is_set() and not last:
      checkpoints.close()
      writer.close()
      logging.info(
          'Stopped by SIGTERM; step %d is saved. The same command goes on.',
          step,
      )
      raise SystemExit(0)

  batches.close()
  checkpoints.close()
  writer.close()
  report(workdir, config, scores)
  return scores


def memory(config):
  """Returns the bytes that a training step takes on each device, by use."""
  setup = experiment.training(config)
  state = jax.eval_shape(setup.init)
  shape = setup.batch_shape
  batch = parallel.shard_shapes(
      {
          'image': jax.ShapeDtypeStruct(shape, jnp.float32),
          'label': jax.ShapeDtypeStruct(shape[:-1], jnp.uint8),
      },
      config.parallel,
  )
  step = parallel.compile_step(setup.step, config.parallel)
  analysis = step.lower(state, batch).compile().memory_analysis()
  return {
      'arguments': analysis.argument_size_in_bytes,
      'temporaries': analysis.temp_size_in_bytes,
      'outputs': (analysis.output_size_in_bytes - analysis.alias_size_in_bytes),
  }


def check_finite(state, config, checkpoints):
  """Raises `DivergedError` if too many steps in a row had to be skipped."""
  if int(state.bad_steps) < config.max_bad_steps:
    return
  checkpoints.wait()
  good = max(checkpoints.steps(), default=None)
  raise DivergedError(
      f'The loss or its gradient was not finite in {config.max_bad_steps} steps'
      f' in a row, up to step {int(state.step)}. '
      + (
          f'The last good checkpoint is step {good}. '
          if good
          else 'There is no checkpoint yet. '
      )
      + 'Lower config.lr.base, set config.optim.clip, or look at the data with'
      ' python -m segjax.doctor.'
  )


def report(workdir, config, scores):
  """Says how the run ended and where everything is."""
  score = workdir.write_score(config, config.total_steps, scores)
  logging.info(
      '%s mIoU on %s after %d steps: %.4f\n'
      '  score        %s\n  checkpoints  %s\n  summaries    %s and %s\n'
      '  pictures     %s',
      config.dataset.name,
      config.dataset.eval_split,
      config.total_steps,
      scores['mIoU'],
      score,
      workdir.checkpoints,
      workdir.path / 'tensorboard',
      workdir.metrics,
      workdir.pictures,
  )


def stop_on_sigterm():
  """Returns an event that SIGTERM, the notice of a preemption, sets."""
  stop = threading.Event()
  if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
  return stop


class Meter:
  """How fast training goes, and how much of the time it waits for data."""

  def __init__(self, batch_size):
    self._batch_size = batch_size
    self._reset()

  def _reset(self):
    self._start, self._steps = time.monotonic(), 0
    self._waited = self._paused = 0.0

  @contextlib.contextmanager
  def waiting(self):
    """Around the wait for a batch, once a step."""
    start = time.monotonic()
    yield
    self._waited += time.monotonic() - start
    self._steps += 1

  @contextlib.contextmanager
  def paused(self):
    """Around what is not training."""
    start = time.monotonic()
    yield
    self._paused += time.monotonic() - start

  def read(self):
    """Returns the speed since the last reading."""
    seconds = time.monotonic() - self._start - self._paused
    images = self._steps * self._batch_size
    result = {
        'steps_per_second': self._steps / seconds,
        'images_per_second_per_device': images / seconds / parallel.count(),
        'data_wait_share': self._waited / seconds,
    }
    self._reset()
    return result
