"""Runs as a user starts them: programs with folders and logs of their own."""

import os
import pathlib
import socket
import subprocess
import sys
import time

from segjax.artifacts.workdir import Workdir

ROOT = pathlib.Path(__file__).parent.parent


def free_port():
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


def environment(devices=1, seconds=0):
  return os.environ | {
      'JAX_PLATFORMS': 'cpu',
      'JAX_NUM_CPU_DEVICES': str(devices),
      'STEP_SECONDS': str(seconds),
  }


class Runs:
  """Starts runs in folders of their own."""

  def __init__(self, folder, *flags, program=('-m', 'tests.small_run')):
    """Takes what all runs have in common.

    Args:
      folder: where a run has its workdir NAME, and its logs NAME.0.log, ...
      *flags: of all runs.
      program: arguments of Python before the flags.
    """
    self.folder = pathlib.Path(folder)
    self._program = program
    self._flags = flags

  def start(self, name, processes=1, *flags, devices=None, seconds=0, **how):
    """Returns the processes of a run; steps take `seconds`.

    Args:
      name: of its folder.
      processes: how many.
      *flags: that differ from those of all.
      devices: of all processes together; one each by default.
      seconds: that a step takes at the least, in `tests.small_run`.
      **how: arguments of `subprocess.Popen`.
    """
    devices = devices or processes
    port = free_port()
    started = []
    for i in range(processes):
      command = [
          *(sys.executable, *self._program, *self._flags, *flags),
          f'--workdir={self.folder / name}',
      ]
      if processes > 1:
        command += [
            *(f'--coordinator=127.0.0.1:{port}', f'--process_id={i}'),
            f'--num_processes={processes}',
        ]
      with open(self.folder / f'{name}.{i}.log', 'a') as log:
        started.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(devices // processes, seconds),
                stdout=log,
                stderr=log,
                **how,
            )
        )
    return started

  def finish(self, name, processes=1, *flags, devices=None):
    """Lets a run go on to its end and returns its workdir."""
    started = self.start(name, processes, *flags, devices=devices)
    for i, process in enumerate(started):
      assert process.wait(300) == 0, self.log(name, i)
    return self.workdir(name)

  def workdir(self, name):
    return Workdir(self.folder / name)

  def log(self, name, i=0):
    return (self.folder / f'{name}.{i}.log').read_text()

  def stepping(self, name, processes=1, *flags, seconds=0.5, **how):
    """Returns the processes of a run of slow steps that has begun."""
    started = self.start(name, processes, *flags, seconds=seconds, **how)
    metrics = self.folder / name / 'metrics.jsonl'
    while not metrics.exists() or not metrics.read_text():
      assert all(p.poll() is None for p in started), self.log(name)
      time.sleep(0.05)
    return started
