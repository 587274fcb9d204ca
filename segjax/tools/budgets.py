r"""Draws how budgets lower the operations that dynamic routing expects.

  python -m segjax.tools.budgets --config=configs/dynamic_routing.py \
      --budgets=0.5,0.25 --root=runs/budgets --output=runs/budgets.png

A network without a budget and one for each budget, a share of all operations,
are trained with the same config, steps and seed, each in a folder of its own
under --root; the command goes on where it stopped. The picture has the expected
operations of each over the steps, and the log their last values beside the
scores.
"""

from collections.abc import Sequence
import json
import pathlib

from absl import app
from absl import flags
from absl import logging
from etils import epath
from ml_collections import config_flags

from segjax import experiment
from segjax import train
from segjax.artifacts import diagrams
from segjax.artifacts.workdir import Workdir
from segjax.data import image as images
from segjax.runtime import progress
from segjax.runtime import terminal


def with_budget(config, budget: float):
  """Returns a copy of a config with another budget; 0 is without one.

  Raises:
    ValueError: the config's system has no budget, or it is no share.
  """
  if 'budget' not in config.system_loss:
    raise ValueError(
        f'{config.model_name} has no budget: give'
        ' --config=configs/dynamic_routing.py.'
    )
  if not 0 <= budget <= 1:
    raise ValueError(f'A budget is a share from 0 to 1, not {budget}.')
  config = config.copy_and_resolve_references()
  if budget:
    config.system_loss.budget = budget
    config.system_loss.budget_weight = config.system_loss.budget_weight or 1.0
  else:
    config.system_loss.budget_weight = 0.0
  config.log_every = max(1, config.total_steps // 20)
  return config


def expected(workdir: Workdir) -> dict[int, float]:
  """Returns the expected millions of operations of a run, by step."""
  rows = map(json.loads, workdir.metrics.read_text().splitlines())
  return {
      row['step']: row['train/expected_mflops']
      for row in rows
      if 'train/expected_mflops' in row
  }


def main(config, budgets: Sequence[float], root: str, output: str) -> None:
  """Trains with each budget, writes the picture, and logs a table."""
  with terminal.errors_in_words():
    configs = {budget: with_budget(config, budget) for budget in (0, *budgets)}
    best = experiment.task(config).BEST
    lines, rows = {}, []
    for budget, one in progress.track(
        configs.items(), len(configs), 'Trainings'
    ):
      workdir = Workdir(pathlib.Path(root) / f'budget-{budget:g}')
      score = train.run(one, workdir)[best]
      name = f'budget {budget:g}' if budget else 'no budget'
      lines[name] = expected(workdir)
      last = lines[name][config.total_steps]
      rows.append(f'| {name} | {last:.2f} | {100 * score:.1f} |')
    picture = diagrams.curves('million operations expected', lines)
    images.write_png(epath.Path(output), picture)
    logging.info(
        'After %d steps, written to %s:\n| | million operations | %s |\n'
        '|---|---|---|\n%s',
        *(config.total_steps, output, best, '\n'.join(rows)),
    )


if __name__ == '__main__':
  _CONFIG = config_flags.DEFINE_config_file('config')
  _BUDGETS = flags.DEFINE_list('budgets', None, 'Shares of all operations.')
  _ROOT = flags.DEFINE_string('root', None, 'Folder of all trainings.')
  _OUTPUT = flags.DEFINE_string('output', None, 'PNG file to write.')
  flags.mark_flags_as_required(['config', 'budgets', 'root', 'output'])
  app.run(
      lambda _: main(
          _CONFIG.value,
          [float(budget) for budget in _BUDGETS.value],
          _ROOT.value,
          _OUTPUT.value,
      ),
      flags_parser=terminal.parse_flags,
  )
