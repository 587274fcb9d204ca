"""segjax as users install it: by pip, and used where there is no checkout."""

import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import tomllib

import numpy as np
from packaging import requirements
from packaging.version import Version
from PIL import Image
import pytest

ROOT = pathlib.Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']


def read(lines):
  """Returns {(name, marker): specifier} of requirements."""
  parsed = map(requirements.Requirement, lines)
  return {(r.name, str(r.marker)): r.specifier for r in parsed}


def test_each_pin_lies_in_the_range_that_the_package_asks_for():
  lines = (ROOT / 'requirements.txt').read_text().splitlines()
  lines = [line.partition('#')[0].strip() for line in lines]
  pins = read(filter(None, lines))
  ranges = read(PROJECT['dependencies'])
  assert pins.keys() == ranges.keys()
  for (name, marker), pin in pins.items():
    (exact,) = pin
    assert exact.operator == '==', f'{name} is not pinned'
    allowed = ranges[name, marker]
    assert allowed.contains(exact.version), f'{name}: {pin} is not in {allowed}'
    assert not allowed.contains('0'), f'{name} has no lower end'
    if Version(exact.version).major < 2000:  # Of others it is the year.
      assert not allowed.contains('999'), f'{name} has no upper end'


OFFLINE = ('--no-index', '--no-deps', '--no-build-isolation')


class Installed:
  """An environment with segjax in it, used from an empty folder."""

  def __init__(self, folder):
    self.bin = folder / 'env/bin'
    self.folder = folder / 'empty'
    self.folder.mkdir()
    # All other packages are those of the tests, so nothing is downloaded.
    self('venv', folder / 'env', '--without-pip', program=sys.executable)
    paths = {'base': folder / 'env', 'platbase': folder / 'env'}
    packages = pathlib.Path(sysconfig.get_path('purelib', vars=paths))
    others = [path for path in sys.path if path.endswith('site-packages')]
    (packages / 'others.pth').write_text('\n'.join(others))
    self('pip', 'install', *OFFLINE, ROOT)
    self.package = packages / 'segjax'

  def __call__(self, module, *words, program=None):
    """Runs `python -m module`, or a command of segjax with module None."""
    command = [program or self.bin / 'python', '-m', module, *words]
    if module is None:
      command = [self.bin / 'segjax', *words]
    variables = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    process = subprocess.run(
        command,
        cwd=self.folder,
        env=variables | {'JAX_PLATFORMS': 'cpu'},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout + process.stderr


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
  return Installed(tmp_path_factory.mktemp('installed'))


SMALL = (
    '--config.model.features=8',
    '--config.batch_size=2',
    '--config.total_steps=4',
)


@pytest.mark.slow  # It builds the package and starts four programs.
def test_an_installed_package_trains_and_predicts_from_an_empty_folder(
    installed,
):
  flags = ('--config=configs/deeplabv3.py', '--workdir=run', *SMALL)
  installed('segjax.main', *flags)
  run = installed.folder / 'run'
  config = json.loads((run / 'config.json').read_text())
  assert config['total_steps'] == 4
  assert (run / 'score-val.json').exists()

  flags = ('--config=deeplabv3:shapes', '--workdir=run', *SMALL)
  assert 'This run is finished' in installed(None, 'train', *flags)

  image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
  Image.fromarray(image).save(installed.folder / 'a.png')
  installed(None, 'predict', '--workdir=run', 'a.png', '--output=out')
  labels = Image.open(installed.folder / 'out/a.png')
  assert labels.size == (64, 48)
  # Nothing is left beside what was asked for.
  names = {path.name for path in installed.folder.iterdir()}
  assert names == {'run', 'out', 'a.png'}


@pytest.mark.slow  # It needs the environment of the test above.
def test_an_installed_package_has_all_files_of_segjax_and_configs(installed):
  here = installed.package.parent
  for folder, there in (('segjax', ''), ('configs', 'segjax')):
    for path in (ROOT / folder).glob('**/*'):
      if path.is_file() and '__pycache__' not in path.parts:
        copy = here / there / path.relative_to(ROOT)
        assert copy.read_bytes() == path.read_bytes()
