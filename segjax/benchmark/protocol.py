"""What a worker is told and answers: a line of JSON each, the whole protocol.

  {"do": "hello"}                            {"device": "cpu", "versions": {}}
  {"do": "build", "name": "ours", ...}       {"parameters": 39633729, ...}
  {"do": "run", "name": "ours", "steps": 5}  {"seconds": 1.2}

A failure is answered by {"error": words}. Workers of others run in environments
where nothing of segjax is installed, so this imports the standard library
alone.
"""

import json
import os
import sys
import time


def serve(make):
  """Answers until standard input ends.

  Args:
    make: returns an object with a method for each thing to do; its keyword
      arguments are what else a line says, and it returns a dict. An ImportError
      of `make` is the answer to whatever is asked.
  """
  # Libraries print to standard output, too; let them do so on standard error.
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)
  worker = None
  for line in sys.stdin:
    request = json.loads(line)
    try:
      worker = worker or make()
      answer = getattr(worker, request.pop('do'))(**request)
    except ImportError as error:
      answer = {'error': str(error), 'missing': True}
    except Exception as error:  # Whatever a library raises is told in words.
      answer = {'error': f'{type(error).__name__}: {error}'}
    print(json.dumps(answer), file=answers, flush=True)


class Timed:
  """Workers keep a function for each build, which runs some steps."""

  def __init__(self):
    self.builds = {}

  def run(self, name, steps):
    """Returns the seconds that steps of a build took, all together."""
    run = self.builds[name]
    start = time.perf_counter()
    run(steps)
    return {'seconds': time.perf_counter() - start, **self.after(name)}

  def drop(self, name):
    """Forgets a build."""
    del self.builds[name]
    return {}

  def after(self, name):
    """Returns what else a run tells."""
    del name
    return {}
