"""Configs are found outside the checkout, and share `configs.common`."""

import pathlib
import sys

import pytest

from segjax.runtime import config_files
from segjax.runtime.config_files import load

ROOT = pathlib.Path(__file__).parent.parent.parent
MINE = """
from configs import common
def get_config(arg=''):
  return common.base('shapes', small=True, steps=int(arg))
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
  """An empty folder, whose files alone are found beside installed packages."""
  for name in [n for n in sys.modules if f'{n}.'.startswith('configs.')]:
    monkeypatch.delitem(sys.modules, name)
  path = [p for p in sys.path if p and pathlib.Path(p).resolve() != ROOT]
  monkeypatch.setattr(sys, 'path', [str(tmp_path), *path])
  monkeypatch.chdir(tmp_path)
  yield tmp_path
  for name in [n for n in sys.modules if f'{n}.'.startswith('configs.')]:
    del sys.modules[name]


@pytest.mark.parametrize(
    'name', ['unet', 'unet.py', 'configs/unet.py', './configs/unet']
)
def test_a_config_of_segjax_is_found_from_any_folder(elsewhere, name):
  assert load(name).dataset.name == 'shapes'
  config = load(f'{name}:dataset=isbi2012,small=True')
  assert config.model_name == 'unet'
  assert config.dataset.name == 'isbi2012'


def test_a_file_of_the_user_wins(elsewhere):
  (elsewhere / 'configs').mkdir()
  (elsewhere / 'configs/unet.py').write_text(MINE)
  assert load('configs/unet.py:7').total_steps == 7
  assert load('unet').model_name == 'unet'


def test_a_config_may_be_made_of_one_of_segjax(elsewhere):
  text = MINE.replace('common', 'unet').replace('base(', 'get_config(')
  text = text.replace("'shapes', small=True, steps=int(arg)", '')
  (elsewhere / 'mine.py').write_text(text)
  assert load('mine.py').model_name == 'unet'


@pytest.mark.parametrize('text', ['', 'RATE = 0.5\n'])
def test_a_package_of_the_user_hides_no_config_of_segjax(elsewhere, text):
  package = elsewhere / 'configs'
  package.mkdir()
  (package / '__init__.py').write_text(text)
  (package / 'mine.py').write_text(MINE)
  assert load('configs/mine.py:7').total_steps == 7
  (package / 'common.py').write_text('')
  assert load('unet').model_name == 'unet'


def test_a_module_of_the_user_named_configs_does_no_harm(elsewhere):
  (elsewhere / 'configs.py').write_text('RATE = 0.5\n')
  (elsewhere / 'mine.py').write_text(f'from configs import RATE{MINE}')
  assert load('mine.py:7').total_steps == 7


def test_what_a_user_shares_is_what_the_users_configs_read(elsewhere):
  package = elsewhere / 'configs'
  package.mkdir()
  (package / 'common.py').write_text('def base(*_, **options):\n  return 8\n')
  (package / 'mine.py').write_text(MINE)
  assert load('configs/mine.py:7') == 8


@pytest.mark.parametrize('name', ['uent', 'common', 'else/unet.py', 'unet.txt'])
def test_an_unknown_config_is_answered_with_those_there_are(elsewhere, name):
  with pytest.raises(ValueError, match=rf'no config file {name}.*acfnet.*unet'):
    load(name)


def test_every_config_is_known():
  files = {path.stem for path in (ROOT / 'configs').glob('*.py')}
  assert {*config_files.names(), 'common'} == files
