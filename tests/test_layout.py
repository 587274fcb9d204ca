"""The layout: what lies where, and who may import whom."""

import ast
import fnmatch
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
TOP = {
    *('segjax', 'configs', 'launch', 'tests'),
    *('requirements.txt', 'pyproject.toml', 'README.md', 'LICENSE'),
}

# A file or folder of segjax -> what it may import of segjax beside itself. Only
# the doors, programs that a user starts, may import anything.
ANYTHING = None
MAY_IMPORT = {
    '__init__': '',
    'specs': '',
    'kernels': '',
    'runtime': '',
    'convert': 'runtime',
    'data': 'runtime specs',
    'parallel': 'data runtime',
    'evaluation': 'parallel',
    'ops': 'kernels parallel',
    'layers': 'ops kernels parallel',
    'backbones': 'layers ops kernels specs',
    'models': 'backbones layers ops',
    'losses': 'ops parallel specs',
    'artifacts': 'data ops runtime',
    'tasks': 'losses evaluation ops artifacts data runtime specs',
    'system': 'models tasks losses data',
    'steps': 'system layers ops kernels parallel',
    'optim': 'specs',
    'refine': 'ops specs predictor',
    'inference': 'refine ops data runtime',
    'experiment': (
        'data system backbones models tasks steps optim inference parallel'
        ' runtime specs'
    ),
    'predictor': 'experiment artifacts data inference ops',
    '__main__': ANYTHING,
    'predict_images': 'predictor exported artifacts data',
    'predict_windows': 'predictor artifacts data inference runtime',
    'main': ANYTHING,
    'train': ANYTHING,
    'evaluate': ANYTHING,
    'predict': ANYTHING,
    'export': ANYTHING,
    'exported': 'tasks artifacts data inference',
    'doctor': ANYTHING,
    'replay': ANYTHING,
    'report': ANYTHING,
    'demo': ANYTHING,
    'web': '',
    'tools': ANYTHING,
    'benchmark': ANYTHING,
    'convert/__main__': ANYTHING,
    'convert/workdirs': ANYTHING,
}
# Who may see a config: `experiment`, the doors and `predictor` read it, the
# workdir that keeps it. All others take a `System` and plain values.
SEE_CONFIGS = {
    *('experiment', 'main', 'train', 'evaluate', 'predict', 'doctor', 'replay'),
    *('export', 'predictor', 'report'),
    *('tools', 'convert/__main__', 'convert/workdirs'),
    *('artifacts/workdir', 'artifacts/upgrade'),
}
# Names of fields that only their readers, tasks and models know.
FIELDS_OF_SOME = ('categories', 'overlaps', 'instances', 'regions', 'coarse')
KNOW_FIELDS = {
    *('data/fields', 'data/proposals', 'data/transforms', 'data/datasets'),
    'data/annotations',
    *('tasks', 'models', 'convert'),
    'artifacts/polygons',  # COCO's files have a part of that name.
}
# What only some files may import; TensorFlow hides behind parts of CLU.
ONLY_IN = {
    'segjax.main': (),
    'segjax.train': (
        *('segjax/main.py', 'segjax/doctor.py', 'segjax/replay.py'),
        *('segjax/tools/budgets.py', 'segjax/tools/random_networks.py'),
    ),
    'tensorflow': (
        'segjax/artifacts/formats/savedmodel.py',
        'segjax/artifacts/formats/tflite.py',
    ),
    'tensorflow_datasets': ('segjax/data/datasets/oxford_iiit_pet.py',),
    'clu.metric_writers': ('segjax/artifacts/summaries.py',),
    'clu.periodic_actions': ('segjax/train.py',),
    'clu.checkpoint': (),
    'clu.deterministic_data': (),
    'clu.preprocess_spec': (),
}

SOURCES = sorted(p.relative_to(ROOT) for p in ROOT.glob('segjax/**/*.py'))
CONFIGS = sorted(p.relative_to(ROOT) for p in ROOT.glob('configs/*.py'))
MODELS = [p for p in SOURCES if p.match('models/*.py') and p.stem[0] != '_']


def imports(path):
  """Yields 'a.b.c' for `import a.b.c` and `from a.b import c` in a file."""
  for node in ast.walk(ast.parse((ROOT / path).read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      dots = '.' * node.level
      yield from (f'{dots}{node.module}.{alias.name}' for alias in node.names)


def within(name, module):
  return f'{name}.'.startswith(f'{module}.')


def test_top_level_holds_what_the_design_names():
  ignored = (ROOT / '.gitignore').read_text().split()
  names = {
      path.name
      for path in ROOT.glob('[!.]*')
      if not any(fnmatch.fnmatch(path.name, p.rstrip('/')) for p in ignored)
  }
  assert names == TOP


@pytest.mark.parametrize('path', SOURCES, ids=str)
def test_imports_go_the_allowed_way(path):
  file = '/'.join(path.with_suffix('').parts[1:])
  part = file if file in MAY_IMPORT else path.with_suffix('').parts[1]
  assert part in MAY_IMPORT, f'{path}: add {part!r} to the table MAY_IMPORT'
  allowed = MAY_IMPORT[part]
  for name in imports(path):
    assert not name.startswith('.'), f'{path}: write `from segjax import ...`'
    if within(name, 'segjax') and allowed is not ANYTHING:
      other = f'{name}.'.split('.')[1]
      known = {part, *allowed.split()}
      assert other in known, (
          f'{path} imports {name}; {part} may import {allowed or "nothing"} of'
          ' segjax'
      )
    for module, files in ONLY_IN.items():
      assert (
          not within(name, module) or str(path) in files
      ), f'{path} imports {name}, which is left to {files or "nobody"}'
    if part == 'ops':
      assert not within(name, 'flax'), f'{path}: ops are functions, not modules'


def is_part_of(path, parts):
  file = '/'.join(path.with_suffix('').parts[1:])
  return any(f'{file}/'.startswith(f'{part}/') for part in parts)


@pytest.mark.parametrize('path', SOURCES, ids=str)
def test_only_the_doors_and_experiment_see_a_config(path):
  if is_part_of(path, SEE_CONFIGS):
    return
  for node in ast.walk(ast.parse((ROOT / path).read_text())):
    names = {getattr(node, key, None) for key in ('id', 'arg')}
    assert 'config' not in names, (
        f'{path}:{node.lineno} takes a config: let segjax/experiment.py take it'
        ' apart, and pass plain values'
    )


@pytest.mark.parametrize('path', SOURCES, ids=str)
def test_a_field_is_known_to_its_readers_tasks_and_models_alone(path):
  if is_part_of(path, KNOW_FIELDS):
    return
  for node in ast.walk(ast.parse((ROOT / path).read_text())):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
      assert node.value not in FIELDS_OF_SOME, (
          f'{path}:{node.lineno} names the field {node.value!r}: go by its kind'
          ' in segjax/data/fields.py'
      )


@pytest.mark.parametrize('path', MODELS, ids=str)
def test_a_system_imports_no_other_system(path):
  others = [n for n in imports(path) if within(n, 'segjax.models')]
  assert not others, f'{path}: what systems share moves to segjax/layers'


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_configs_are_read_without_jax(path):
  known = {*sys.stdlib_module_names, 'ml_collections', 'configs'}
  for name in imports(path):
    assert name.split('.')[0] in known, (
        f'{path} imports {name}; configs import ml_collections and'
        ' configs.common alone, so that a launcher reads them anywhere'
    )
    assert not within(name, 'configs') or within(
        name, 'configs.common'
    ), f'{path} imports {name}; what configs share is in configs/common.py'


@pytest.mark.parametrize('path', MODELS, ids=str)
def test_a_system_names_its_paper(path):
  docstring = ast.get_docstring(ast.parse((ROOT / path).read_text())) or ''
  assert 'https://' in docstring, f'{path}: its docstring has no link'


def test_systems_configs_and_rows_of_the_readme_are_the_same():
  readme = (ROOT / 'README.md').read_text()
  rows = re.findall(r'^\|.*segjax/models/(\w+)\.py', readme, re.MULTILINE)
  systems = sorted(path.stem for path in MODELS)
  configs = [path.stem for path in CONFIGS if path.stem != 'common']
  assert sorted(configs) == systems
  assert sorted(rows) == systems, 'a row of the README links its model file'
