"""Protocol of workers: requests and answers are lines of JSON.

  {"do": "hello"}                            {"device": "cpu", "versions": {}}
  {"do": "build", "name": "ours", ...}       {"parameters": 39633729, ...}
  {"do": "run", "name": "ours", "steps": 5}  {"seconds": 1.2}

The answer to a request that fails is {"error": message}. Workers of peers run
in environments without segjax's dependencies, so this file imports the standard
library alone.
"""

import json
import os
import sys
import time


def serve(make):
  """Answers requests until standard input ends.

  Args:
    make: creates the worker. The value of 'do' in a request is the name of one
      of its methods, and the other values are keyword arguments. The method
      returns a dictionary. If `make` raises ImportError, every request is
      answered by it.
  """
  # Answers go to a copy of standard output, and standard output to standard
  # error, since libraries may print.
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
    except Exception as error:  # Libraries may raise any error.
      answer = {'error': f'{type(error).__name__}: {error}'}
    print(json.dumps(answer), file=answers, flush=True)


class Timed:
  """Base class of workers, which times builds.

  Attributes:
    builds: {name: function}; the function runs a number of steps.
  """

  def __init__(self):
    self.builds = {}

  def run(self, name, steps):
    """Runs steps of a build and returns their total seconds."""
    run = self.builds[name]
    start = time.perf_counter()
    run(steps)
    return {'seconds': time.perf_counter() - start, **self.after(name)}

  def drop(self, name):
    """Removes a build."""
    del self.builds[name]
    return {}

  def after(self, name):
    """Returns further values to report after a run."""
    del name
    return {}
