r"""Collects the scores of finished runs in a page that can be checked.

  python -m segjax.tools.results runs/*

Each run becomes a log in launch/results/, SYSTEM-DATASET-SEED.jsonl: a line of
facts, then the scores of each evaluation. The page launch/results.md tabulates
all logs in the folder. A log is not overwritten by another run; with --replace
it is.
"""

import datetime
import json
import pathlib

from absl import app
from absl import flags

from segjax import experiment
from segjax.artifacts.workdir import Workdir
from segjax.runtime import atomic
from segjax.runtime import terminal

FOLDER = pathlib.Path('launch/results')
COLUMNS = (
    *('system', 'data', 'split', 'score', 'of classes', 'steps x images'),
    *('seed', 'minutes', 'hardware', 'date', 'commit', 'command'),
)
HEAD = """# Results

Scores of runs from random weights unless the command says otherwise, written by
`python -m segjax.tools.results`. Each row has a log of its evaluations in
[results](results). A score is that of the last step, on the whole split at the
size of its labels; the range is over classes. Minutes are CPU minutes of the
whole program, compilation and evaluation included.
"""


def read(path: pathlib.Path) -> list[dict]:
  """Returns the log of a finished run: facts, and scores by evaluation.

  Args:
    path: a workdir.

  Raises:
    ValueError: the run is not finished.
    FileNotFoundError: the folder is no workdir.
  """
  workdir = Workdir(path)
  config = workdir.read_config()
  best = experiment.task(config).BEST
  evaluations, minutes, last, written = {}, [0.0], 0, 0.0
  lines = workdir.metrics.exists() and workdir.metrics.read_text().splitlines()
  for line in lines or ():
    values = json.loads(line)
    last = max(last, values['step'])
    written = values['time']
    if 'host/cpu_minutes' in values:
      now = values['host/cpu_minutes']
      if now < minutes[-1]:  # Another start of the run.
        minutes.append(now)
      minutes[-1] = now
    scores = {
        name[4:]: None if value is None else round(value, 4)
        for name, value in values.items()
        if name.startswith('val/') and name != 'val/images_per_second'
    }
    if scores:
      evaluations[values['step']] = {'step': values['step'], **scores}
  if config.total_steps not in evaluations:
    raise ValueError(
        f'{path}: the run has not come to its end, step {config.total_steps};'
        f' the last that it has written is {last}.'
    )
  facts = {
      'system': config.model_name,
      'dataset': config.dataset.name,
      'split': experiment.eval_split(config),
      'score': best,
      'seed': config.seed,
      'steps': config.total_steps,
      'images': config.batch_size,
      'cpu_minutes': round(sum(minutes), 1) or None,
      'date': datetime.date.fromtimestamp(written).isoformat(),
  }
  if workdir.starts.exists():
    facts |= json.loads(workdir.starts.read_text().splitlines()[-1])
  return [facts, *evaluations.values()]


def row(log: list[dict]) -> str:
  """Returns the row of the page for a log from `read`."""
  facts, last = log[0], log[-1]
  name = facts['score']
  of_classes = [
      value
      for key, value in last.items()
      if key.partition('/')[0] in ('IoU', 'PQ') and value is not None
      if '/' in key
  ]
  extent = (
      f'{100 * min(of_classes):.1f} to {100 * max(of_classes):.1f}'
      if of_classes
      else ''
  )
  machine = facts.get('hardware', '')
  if machine:
    machine += f', {facts["cores"]} cores, {facts["devices"]} devices'
  cells = (
      f'[{facts["system"]}](../segjax/models/{facts["system"]}.py)',
      facts['dataset'],
      facts['split'],
      f'{100 * last[name]:.1f} {name}',
      extent,
      f'{facts["steps"]} x {facts["images"]}',
      facts['seed'],
      facts['cpu_minutes'] or '',
      machine,
      facts['date'],
      facts.get('commit', ''),
      f'`{facts["command"]}`' if 'command' in facts else '',
  )
  return _line(cells)


def _line(cells):
  """Returns a row of a table in Markdown."""
  return f'| {" | ".join(map(str, cells))} |\n'


def write(paths: list[str], folder: pathlib.Path, replace: bool) -> str:
  """Adds the logs of runs to a folder and writes the page beside it.

  Args:
    paths: workdirs.
    folder: of the logs; the page has its name and '.md'.
    replace: whether a log of another run of the same name is overwritten.

  Returns:
    The page.

  Raises:
    ValueError: a run is not finished, or its log would replace another one.
  """
  new = {}
  for path in paths:
    log = read(pathlib.Path(path))
    facts = log[0]
    name = f'{facts["system"]}-{facts["dataset"]}-{facts["seed"]}.jsonl'
    text = ''.join(f'{json.dumps(line)}\n' for line in log)
    there = new.get(name) or (
        (folder / name).read_text() if (folder / name).exists() else text
    )
    if there != text and not replace:
      raise ValueError(
          f'{path}: {folder / name} has the log of another run. Give --replace'
          ' to overwrite it.'
      )
    new[name] = text
  folder.mkdir(parents=True, exist_ok=True)
  for name, text in new.items():
    with atomic.replacing(folder / name) as file:
      file.write(text.encode())
  head = f'{HEAD}\n{_line(COLUMNS)}{"|---" * len(COLUMNS)}|\n'
  page = head + ''.join(map(row, logs(folder)))
  with atomic.replacing(folder.with_suffix('.md')) as file:
    file.write(page.encode())
  return page


def logs(folder: pathlib.Path) -> list[list[dict]]:
  """Returns all logs of a folder, by name."""
  return [
      [json.loads(line) for line in path.read_text().splitlines()]
      for path in sorted(folder.glob('*.jsonl'))
  ]


def main(paths, folder, replace):
  """Writes logs and page, and says where."""
  with terminal.errors_in_words():
    write(paths, folder, replace)
  print(f'{folder.with_suffix(".md")} has {len(logs(folder))} runs.')


if __name__ == '__main__':
  _FOLDER = flags.DEFINE_string('folder', str(FOLDER), 'Folder of the logs.')
  _REPLACE = flags.DEFINE_bool(
      'replace', False, 'Whether logs of other runs are overwritten.'
  )
  app.run(
      lambda args: main(args[1:], pathlib.Path(_FOLDER.value), _REPLACE.value),
      flags_parser=terminal.parse_flags,
  )
