import importlib
import json

from etils import epath
import numpy as np
import pytest

from segjax.data import image
from segjax.tools import budgets


@pytest.fixture
def config():
  return importlib.import_module('configs.dynamic_routing').get_config()


def test_a_run_without_and_one_with_each_budget_are_drawn(
    config, monkeypatch, tmp_path
):
  config.total_steps = 40
  seen = []

  def run(config, workdir):
    loss = config.system_loss
    seen.append((workdir.path.name, loss.budget_weight, loss.budget))
    epath.Path(workdir.path).mkdir(parents=True)
    rows = [
        {
            'step': step,
            'train/expected_mflops': 14.0 - step * loss.budget_weight,
        }
        for step in range(config.log_every, 41, config.log_every)
    ]
    rows.append({'step': 40, 'val/mIoU': 0.5})
    workdir.metrics.write_text('\n'.join(map(json.dumps, rows)))
    return {'mIoU': 0.5}

  monkeypatch.setattr(budgets.train, 'run', run)
  path = tmp_path / 'budgets.png'
  budgets.main(config, [0.5, 0.25], str(tmp_path / 'runs'), str(path))
  assert seen == [
      *(('budget-0', 0.0, 0.5), ('budget-0.5', 1.0, 0.5)),
      ('budget-0.25', 1.0, 0.25),
  ]
  colors = {
      tuple(c) for c in np.unique(image.read_image(path).reshape(-1, 3), axis=0)
  }
  assert {budgets.diagrams.LINES[i] for i in range(3)} <= colors


def test_what_has_no_budget_is_refused(config):
  with pytest.raises(ValueError, match='share from 0 to 1, not 2'):
    budgets.with_budget(config, 2.0)
  other = importlib.import_module('configs.deeplabv3').get_config()
  with pytest.raises(ValueError, match='deeplabv3 has no budget'):
    budgets.with_budget(other, 0.5)
