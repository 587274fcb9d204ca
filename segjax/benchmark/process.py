"""Client of a worker: starts its process and sends it requests."""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).parent.parent.parent
# Number of last lines of standard error that are shown of a worker that died.
TAIL = 20


class WorkerError(ValueError):
  """A worker failed; the message is its own."""


class MissingError(WorkerError):
  """The environment of a worker lacks a package."""


class Worker:
  """A process that runs a module with `protocol.serve`; `close` ends it."""

  def __init__(self, python, module, environment=None):
    """Starts the process.

    Args:
      python: path of its Python interpreter.
      module: module to run, such as 'segjax.benchmark.torch_worker'.
      environment: environment variables in addition to those of this process.

    Raises:
      OSError: the interpreter does not exist.
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
    """Sends a request and returns the answer, a dictionary.

    Args:
      do: name of a method of the worker.
      **request: arguments of the method.

    Raises:
      MissingError: the environment of the worker lacks a package.
      WorkerError: the worker failed or died.
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
          f' told {line}. Its standard error ends with:\n{self._error_tail()}'
      )
    answer = json.loads(answer)
    if 'error' in answer:
      error = MissingError if answer.get('missing') else WorkerError
      raise error(f'{self.module}: {answer["error"]}')
    return answer

  def cpu_seconds(self):
    """Returns the CPU seconds of the process so far, None if unknown."""
    try:
      text = pathlib.Path(f'/proc/{self._process.pid}/stat').read_text()
    except OSError:  # Not Linux.
      return None
    # The fields are behind the name of the program, which is in parentheses and
    # may contain spaces and parentheses.
    user, system = text.rpartition(')')[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')

  def _error_tail(self):
    self._errors.seek(0)
    return ''.join(self._errors.readlines()[-TAIL:])

  def close(self):
    """Ends the process."""
    with contextlib.suppress(BrokenPipeError):  # The process may have died.
      self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()
    self._errors.close()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()
