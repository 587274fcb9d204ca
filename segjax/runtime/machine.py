"""What a program runs on, and how it was started."""

import datetime
import os
import pathlib
import platform
import shlex
import subprocess
import sys

import jax


def start() -> dict[str, str | int]:
  """Returns the facts about a start that a score should be quoted with.

  `commit` is that of the checkout, with '+' if files have changed since, and ''
  of an installed package. `hardware` names the devices.
  """
  kinds = sorted({device.device_kind for device in jax.devices()})
  kind = _processor() if jax.default_backend() == 'cpu' else ', '.join(kinds)
  return {
      'date': datetime.date.today().isoformat(),
      'command': _command(sys.orig_argv),
      'commit': _commit(),
      'hardware': kind,
      'devices': jax.device_count(),
      'cores': len(os.sched_getaffinity(0))
      if hasattr(os, 'sched_getaffinity')
      else os.cpu_count(),
  }


def _command(argv):
  """Returns a command that starts this again, without paths of programs."""
  _, *words = argv
  if words and pathlib.Path(words[0]).name == 'segjax':
    return shlex.join(['segjax', *words[1:]])
  return shlex.join(['python', *words])


def _processor():
  """Returns the name of the processor."""
  try:
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
    return next(
        line.partition(':')[2].strip()
        for line in lines
        if line.startswith('model name')
    )
  except (OSError, StopIteration):  # Not Linux, or without a name.
    return platform.processor() or platform.machine()


def _commit():
  """Returns the commit of the checkout that this file is in, or ''.

  An environment may lie in a checkout of something else, where the files of an
  installed package are not tracked.
  """
  file = pathlib.Path(__file__)
  git = ['git', '-C', str(file.parent)]
  try:
    _, commit, changes = (
        subprocess.run(
            [*git, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()
        for arguments in (
            ('ls-files', '--error-unmatch', file.name),
            ('rev-parse', '--short', 'HEAD'),
            ('status', '--porcelain', '--untracked-files=no'),
        )
    )
  except (OSError, subprocess.CalledProcessError):
    return ''
  return f'{commit}+' if changes else commit
