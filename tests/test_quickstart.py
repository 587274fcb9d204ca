"""The cells of launch/quickstart.ipynb run from the first to the last."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOK = json.loads((ROOT / 'launch/quickstart.ipynb').read_text())
CELLS = [cell for cell in NOTEBOOK['cells'] if cell['cell_type'] == 'code']


def shell(command):
  """Runs a command and returns what it says."""
  return subprocess.run(
      command, shell=True, check=True, stdout=subprocess.PIPE, text=True
  ).stdout


def as_python(line):
  """Returns a line without IPython's !, whose braces are those of f-strings."""
  return f'shell(f{line[1:]!r})' if line.startswith('!') else line


def test_cells_are_kept_without_outputs():
  for cell in CELLS:
    assert cell['outputs'] == []
    assert cell['execution_count'] is None


@pytest.mark.slow  # It trains for a minute, which is what the notebook is for.
def test_the_notebook_ends_with_a_prediction(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('TMPDIR', str(tmp_path))
  monkeypatch.setattr('tempfile.tempdir', None)
  monkeypatch.setenv('PYTHONPATH', str(ROOT))
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  # Users' programs are compiled in full, and learn faster than they compile.
  monkeypatch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', 'false')
  names = {'shell': shell}
  for cell in CELLS:
    lines = ''.join(cell['source']).splitlines()
    exec('\n'.join(map(as_python, lines)), names)
  mask, labels = names['mask'], names['labels']
  assert names['picture'].dtype == np.uint8
  # Background is 60 % of most scenes; more is learnt.
  known = mask != 255
  assert np.mean(labels[known] == mask[known]) > 0.7
  assert len(np.unique(labels)) > 1
  assert names['folder'].parent == tmp_path
  assert sys.executable in names['segjax']
