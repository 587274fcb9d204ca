"""Opens the report and the demo in a browser, and clicks through both.

  python -m pip install -r tests/browser/requirements.txt
  python -m tests.browser --chromium=/usr/bin/chromium --output=screenshots

Two short runs are trained for it, or those of --workdir are taken. Prints a
line for each thing that a person would do; the exit code is 1 if one of them
does not come out as it should. The screenshots are to be looked at.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

from playwright import sync_api

from tests import runs
from tests.browser import demo_page
from tests.browser import report_page
from tests.browser.pages import Pages

STEPS = 120


def train(folder):
  """Returns the workdirs of two runs of the embedded set."""
  print(f'Training two runs of {STEPS} steps.', flush=True)
  starts = runs.Runs(
      folder,
      '--config=configs/deeplabv3.py:small=True',
      f'--config.total_steps={STEPS}',
      f'--config.eval_every={STEPS // 2}',
      f'--config.checkpoint_every={STEPS // 2}',
      '--config.log_every=4',
      program=('-m', 'segjax.main'),
  )
  return [
      starts.finish(name, 1, f'--config.seed={seed}').path
      for seed, name in enumerate(('first', 'second'), 1)
  ]


def report(workdirs, folder):
  """Returns the file of a report on runs."""
  output = folder / 'report.html'
  command = [sys.executable, '-m', 'segjax.report', *map(str, workdirs)]
  subprocess.run(
      [*command, f'--output={output}', '--images=3'],
      cwd=runs.ROOT,
      env=runs.environment(),
      check=True,
  )
  return output


def checks(pages, workdirs, folder, only):
  """Yields (what a person does, function that does it).

  Args:
    pages: the browser.
    workdirs: of two runs.
    folder: for files in between.
    only: 'report', 'demo' or '' for both.
  """
  if only in ('', 'report'):
    file = report(workdirs, folder)
    for name, check in report_page.checks(pages, file, workdirs):
      yield f'report: {name}', check
  if only == 'report':
    return
  with demo_page.served(workdirs[0], folder) as (address, process):
    for name, check in demo_page.checks(
        pages, address, process, workdirs[0], folder
    ):
      yield f'demo: {name}', check


def main():
  """Returns the exit code."""
  parser = argparse.ArgumentParser(
      prog='python -m tests.browser',
      description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--chromium', required=True, help='the program to start')
  parser.add_argument(
      '--workdir',
      action='append',
      default=[],
      help='of a run with images, twice; two are trained without it',
  )
  parser.add_argument(
      '--output',
      type=pathlib.Path,
      default='screenshots',
      help='folder of screenshots; those of an earlier call are replaced',
  )
  parser.add_argument(
      '--only', choices=('report', 'demo'), default='', help='one of the pages'
  )
  args = parser.parse_args()
  if len(args.workdir) not in (0, 2):
    parser.error('Give --workdir twice, or not at all.')
  args.output.mkdir(parents=True, exist_ok=True)
  broken = 0
  with (
      tempfile.TemporaryDirectory() as name,
      sync_api.sync_playwright() as playwright,
  ):
    folder = pathlib.Path(name)
    workdirs = [pathlib.Path(path).resolve() for path in args.workdir]
    workdirs = workdirs or train(folder)
    with Pages(playwright, args.chromium, args.output) as pages:
      for name, check in checks(pages, workdirs, folder, args.only):
        start = time.monotonic()
        try:
          check()
          said = 'ok'
        except (AssertionError, sync_api.Error) as error:
          broken += 1
          words = str(error).strip().splitlines()[:4]
          said = ' '.join(['BROKEN:', type(error).__name__, *words])
        print(f'{name}: {said} ({time.monotonic() - start:.1f} s)', flush=True)
  print(f'{broken} are broken.' if broken else 'All came out as they should.')
  print(f'Look at the pictures in {args.output}.')
  return bool(broken)


if __name__ == '__main__':
  sys.exit(main())
