r"""Checks a data set and the machine before a first run.

  python -m segjax.doctor --config=configs/deeplabv3.py:camvid

reads every example of the train and eval split as training does, and reports
what is wrong, what is odd, how often each class occurs, the class weights that
follow, and what the machine has and a training step needs. Where examples have
objects, it measures them, too. It fetches and reads the weights of
`config.init_from`, and --pictures=FOLDER draws some examples with their labels.
The exit code is 1 when training would fail or learn the wrong thing.

  python -m segjax.doctor --workdir=runs/camvid --replay=1207

computes a step again that a run has skipped, names the examples of its batch
and says where the first value arises that is not finite.
"""

import sys

from absl import app
from absl import flags
from ml_collections import config_flags

from segjax.artifacts.workdir import Workdir
from segjax.doctor import data
from segjax.doctor import drawings
from segjax.doctor import machine
from segjax.doctor import weights
from segjax.runtime import compile_cache
from segjax.runtime import gc_tuning
from segjax.runtime import terminal


def run(config, path, step, drawn=''):
  """Does what the flags say; returns the exit code."""
  if bool(path) != bool(step) or bool(path) == bool(config):
    sys.exit(
        'segjax: Give --config=... to check what would be trained, or'
        ' --workdir=... --replay=STEP to compute a step of a run again.'
    )
  return replay_step(path, step) if step else main(config, drawn)


def replay_step(path, step):
  """Prints what was not finite in a step of a run; returns the exit code."""
  from segjax import replay  # Slow: it imports TensorFlow.

  with terminal.errors_in_words():
    compile_cache.enable()
    print(replay.replay(Workdir(path), step))
  return 0


def main(config, drawn=''):
  """Prints the reports and problems; returns the exit code.

  Args:
    config: of the run.
    drawn: folder for pictures of examples; '' draws none.
  """
  with terminal.errors_in_words():
    compile_cache.enable()
    gc_tuning.relax()
    if drawn:
      drawings.check_new(drawn)
    report, problems = data.check(config)
    print(report, end='\n\n' if report else '')
    if drawn:
      print(drawings.draw(config, drawn), end='\n\n')
    if not problems.errors:
      report, more = machine.check(config)
      print(report, end='\n\n')
      problems.errors += more.errors
      problems.warnings += more.warnings
      problems.errors += weights.check(config.init_from)
  for message in problems.warnings:
    print(f'Warning: {message}')
  for message in problems.errors:
    print(f'Error: {message}')
  if problems.errors:
    print('Training would fail or learn the wrong thing.')
    return 1
  print('Ready to train.')
  return 0


if __name__ == '__main__':
  _CONFIG = config_flags.DEFINE_config_file('config')
  _WORKDIR = flags.DEFINE_string('workdir', '', 'Folder of a run.')
  _REPLAY = flags.DEFINE_integer(
      'replay', 0, 'Number of a step of the run that was skipped.'
  )
  _PICTURES = flags.DEFINE_string(
      'pictures', '', 'Folder for pictures of examples with their labels.'
  )
  app.run(
      lambda _: run(
          _CONFIG.value, _WORKDIR.value, _REPLAY.value, _PICTURES.value
      ),
      flags_parser=terminal.parse_flags,
  )
