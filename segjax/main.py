"""Trains or evaluates a config: `python -m segjax.main --config=...`."""

import os

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from segjax.runtime import terminal

_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'Config file, with its argument after a colon.'
)
_WORKDIR = flags.DEFINE_string(
    'workdir', None, 'Folder of the run, which resumes from its checkpoints.'
)
_MODE = flags.DEFINE_enum(
    'mode', 'train', ('train', 'eval'), 'eval scores the best checkpoint.'
)
_EXPORTED = flags.DEFINE_string(
    'exported', '', 'With --mode=eval, the file of segjax.export to score.'
)
_ENSEMBLE = flags.DEFINE_multi_string(
    'ensemble',
    [],
    'With --mode=eval, the workdir of another run: what is scored is the mean'
    ' of its probabilities and those of --workdir; again for more runs.',
)
_STOPPED_CODE = flags.DEFINE_integer(
    'stopped_code', 0, 'Exit code of a run that SIGTERM has stopped.'
)
# These flags are for several processes that train together. Slurm, Open MPI and
# Cloud TPUs set them themselves.
_COORDINATOR = flags.DEFINE_string(
    'coordinator',
    os.environ.get('JAX_COORDINATOR_ADDRESS'),
    'HOST:PORT of process 0.',
)
_NUM_PROCESSES = flags.DEFINE_integer(
    'num_processes',
    os.environ.get('JAX_NUM_PROCESSES'),
    'Number of processes; 1 trains alone, under Slurm or Open MPI too.',
    lower_bound=1,
)
_PROCESS_ID = flags.DEFINE_integer(
    'process_id', os.environ.get('JAX_PROCESS_ID'), 'Index of this process.'
)
_TIMEOUT = flags.DEFINE_integer(
    'startup_timeout', 300, 'Seconds to wait for all processes.', lower_bound=1
)


def main(argv):
  """Sets up the process, and trains or evaluates as the flags say."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  # Importing these takes seconds, and --help should answer at once.
  from segjax.runtime import compile_cache
  from segjax.runtime import gc_tuning
  from segjax.runtime import hosts
  from segjax.runtime import malloc

  with (
      hosts.leaving_at_once(),
      terminal.errors_in_words(),
      hosts.explain_lost_peers(),
  ):
    malloc.tune()
    hosts.initialize(
        _COORDINATOR.value,
        _NUM_PROCESSES.value,
        _PROCESS_ID.value,
        _TIMEOUT.value,
    )
    if not hosts.is_first():
      logging.set_verbosity(logging.WARNING)
    compile_cache.enable()
    gc_tuning.relax()
    run()


def run():
  """Trains or evaluates the config of the flags."""
  from segjax.artifacts.workdir import Workdir

  config = _CONFIG.value.lock()  # Raises if there is no such file.
  workdir = Workdir(_WORKDIR.value)
  if _MODE.value == 'eval':
    from segjax import evaluate

    if _EXPORTED.value and _ENSEMBLE.value:
      raise ValueError('Give --exported or --ensemble, not both.')
    if _ENSEMBLE.value:
      evaluate.run_ensemble(config, workdir, _ENSEMBLE.value)
    elif _EXPORTED.value:
      evaluate.run_exported(config, workdir, _EXPORTED.value)
    else:
      evaluate.run(config, workdir)
    return
  if _EXPORTED.value:
    raise ValueError(f'--exported={_EXPORTED.value!r} is for --mode=eval.')
  if _ENSEMBLE.value:
    raise ValueError(f'--ensemble={_ENSEMBLE.value} is for --mode=eval.')
  # TensorFlow, which writes summaries, logs about its build when imported.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  from segjax import train

  train.run(config, workdir, _STOPPED_CODE.value)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main, flags_parser=terminal.parse_flags)
