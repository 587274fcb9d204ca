"""A worker as its owner sees it: a process that is asked and answers."""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).parent.parent.parent
TAIL = 20  # Lines of standard error that are shown of one that died.


class WorkerError(ValueError):
  """A worker could not do what it was asked; the words are its own."""


class MissingError(WorkerError):
  """Its environment lacks a package."""


class Worker:
  """A process that runs `module`, see `protocol`, and ends with `close`."""

  def __init__(self, python, module, environment=None):
    """Starts it.

    Args:
      python: its interpreter.
      module: that serves, such as 'segjax.benchmark.torch_worker'.
      environment: variables that it has besides those of this process.

    Raises:
      OSError: there is no such interpreter.
    """
    self.module = module
    self._errors = tempfile.TemporaryFile('w+')  # noqa: SIM115  See `close`.
    path = os.pathsep.join((str(ROOT), os.environ.get('PYTHONPATH', '')))
    try:
      self._process = subprocess.Popen(
          [python, '-m', module],
          stdin=subprocess.PIPE,
          stdout=subprocess.PIPE,
          stderr=self._errors,
          text=True,
          env={**os.environ, 'PYTHONPATH': path, **(environment or {})},
      )
    except OSError:
      self._errors.close()
      raise

  def ask(self, do, **request):
    """Returns the answer to a request, a dict.

    Raises:
      MissingError: its environment lacks a package.
      WorkerError: it failed, or died.
    """
    line = json.dumps({'do': do, **request})
    try:
      print(line, file=self._process.stdin, flush=True)
      answer = self._process.stdout.readline()
    except BrokenPipeError:
      answer = ''
    if not answer:
      raise WorkerError(
          f'{self.module} ended with code {self._process.wait()} when it was'
          f' told {line}. Its last words:\n{self._last_words()}'
      )
    answer = json.loads(answer)
    if 'error' in answer:
      kind = MissingError if answer.get('missing') else WorkerError
      raise kind(f'{self.module}: {answer["error"]}')
    return answer

  def cpu_seconds(self):
    """Returns the CPU time that it has used so far; None if nothing tells."""
    try:
      text = pathlib.Path(f'/proc/{self._process.pid}/stat').read_text()
    except OSError:  # Not Linux.
      return None
    # Behind the name of the program, which may have spaces and parentheses.
    user, system = text.rpartition(')')[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')

  def _last_words(self):
    self._errors.seek(0)
    return ''.join(self._errors.readlines()[-TAIL:])

  def close(self):
    """Ends it."""
    with contextlib.suppress(BrokenPipeError):  # It may have died.
      self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()
    self._errors.close()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()
