"""Weights of other libraries, as workdirs and back; see `segjax.convert`."""

import importlib
import json

from absl import logging
from flax import traverse_util
import jax

from segjax import backbones
from segjax import experiment
from segjax.artifacts import checkpoint
from segjax.artifacts.workdir import Workdir
from segjax.artifacts.workdir import write_json
from segjax.convert import rules
from segjax.convert import torch
from segjax.convert import torch_file
from segjax.data import fields
from segjax.data import label_map as label_maps

HEAD = 1000  # Classes of ImageNet.


def describe():
  """Returns the lines that `--list` shows."""
  lines = []
  for source, stems in rules.names().items():
    package = f'{rules.__name__}.{source}'
    lines.append(f'{source:<16}{_about(package)}')
    lines += [f'  {stem:<14}{_about(f"{package}.{stem}")}' for stem in stems]
  return '\n'.join(lines)


def _about(module):
  return importlib.import_module(module).__doc__.partition('\n')[0]


def convert(source, config, path, output, *, key='', num_classes=0, channels=3):
  """Writes a workdir with the weights of a system.

  Args:
    source: a folder of `rules`.
    config: of the system, as it was trained there.
    path: file of the weights.
    output: folder for the workdir.
    key: see `torch_file.read`.
    num_classes: of the weights; 0 takes those of the config's data set.
    channels: of the images.

  Raises:
    ValueError: the weights do not fit the system; lists what does not.
  """
  label_map = _label_map(config, num_classes)
  state = torch_file.read(path, key)
  renaming = rules.find(
      source, config.model_name, config.model.get('backbone', '')
  )
  system = experiment.system(config, label_map)
  template = _template(system.model, channels, system.reads, system.halo)
  variables = torch.convert(state, renaming, template)
  workdir = _new_workdir(output)
  workdir.claim(config)
  workdir.write_labels(label_map, channels)
  _save(workdir, variables, source, config.model_name, state, renaming)


def convert_backbone(source, backbone, path, output, *, key='', channels=3):
  """Writes a folder with the weights of a backbone, to begin with.

  Args:
    source: a folder of `rules`.
    backbone: 'family/variant'.
    path: file of the weights.
    output: folder, for `config.init_from`.
    key: see `torch_file.read`.
    channels: of the images.
  """
  family = backbone.partition('/')[0]
  # HRNet is a system, too; that has its name.
  own = 'backbone' in rules.names().get(source, ())
  stem = 'backbone' if own else family
  renaming = rules.find(source, stem, backbone)
  state = torch_file.read(path, key)
  bare, whole = (
      _template(backbones.build(backbone, num_classes=n), channels)
      for n in (0, HEAD)
  )
  head = _flat(whole).keys() - _flat(bare)
  places = (torch.locate(n, t.ndim, renaming) for n, t in state.items())
  template = whole if any(p and p[0] in head for p in places) else bare
  variables = torch.convert(state, renaming, template)
  nested = {name: {'backbone': tree} for name, tree in variables.items()}
  _save(_new_workdir(output), nested, source, stem, state, renaming)


def write_back(workdir, to, *, source='', like=''):
  """Writes the best checkpoint of a workdir under another library's names.

  Args:
    workdir: of a run or of `convert`.
    to: `.safetensors` or `.npz` file.
    source: a folder of `rules`, with `like`.
    like: file of the source that has the names; by default those of the file
      that the run began with.
  """
  workdir = Workdir(workdir)
  config = workdir.read_config()
  step, variables = checkpoint.best(workdir.checkpoints)
  if like:
    ranks = {n: tensor.ndim for n, tensor in torch_file.read(like).items()}
  else:
    origin = _origin(workdir)
    source, ranks = origin['source'], origin['ranks']
  renaming = rules.find(
      source, config.model_name, config.model.get('backbone', '')
  )
  state = torch.export(variables, renaming, ranks)
  torch_file.write(to, state)
  logging.info(
      '%d tensors of step %d, by their names in %s, are in %s.',
      len(state),
      step,
      source,
      to,
  )


def _origin(workdir):
  """Returns what `_save` wrote, of a workdir or of what it began with."""
  origin = workdir.path / 'origin.json'
  if origin.exists():
    return json.loads(origin.read_text())
  before = workdir.config.exists() and workdir.read_config().get('init_from')
  if not before:
    raise ValueError(
        f'{workdir.path} did not begin with weights of another library. Name a'
        ' file that has the names to write, and whose it is: --like=FILE'
        ' --source=...'
    )
  return _origin(Workdir(before))


def _label_map(config, num_classes):
  """Returns the classes of the weights."""
  if num_classes:
    return label_maps.numbered(num_classes)
  try:  # Its images are not needed.
    return label_maps.read(config.dataset.name)
  except FileNotFoundError:
    return experiment.eval_dataset(config).label_map


def _template(module, channels, reads=('image',), halo=0):
  """Returns the shapes of the variables of a model or of a backbone."""
  side = 128 + 2 * halo
  given = fields.placeholders(reads, (1, side, side, channels))
  return jax.eval_shape(lambda: module.init(jax.random.key(0), *given.values()))


def _flat(variables):
  return traverse_util.flatten_dict(variables, sep='/')


def _new_workdir(path):
  workdir = Workdir(path)
  if workdir.checkpoints.exists():
    raise ValueError(
        f'{path} has checkpoints already: choose another --output.'
    )
  workdir.make()
  return workdir


def _save(workdir, variables, source, stem, state, renaming):
  """Writes the checkpoint and where it is from; says what went where."""
  rows = []
  for name, tensor in state.items():
    place = torch.locate(name, tensor.ndim, renaming)
    target = place[0] if place else 'dropped by a rule'
    rows.append((name, str(list(tensor.shape)), target))
  wide = [max(len(row[i]) for row in rows) for i in range(2)]
  for row in rows:
    print(f'{row[0]:<{wide[0]}}  {row[1]:<{wide[1]}}  {row[2]}')

  params = variables.pop('params')
  checkpoints = checkpoint.Checkpoints(workdir.checkpoints)
  checkpoints.save(0, {'params': params, 'mutable': variables})
  checkpoints.close()
  ranks = {name: tensor.ndim for name, tensor in state.items()}
  write_json(workdir.path / 'origin.json', {'source': source, 'ranks': ranks})
  module = importlib.import_module(f'{rules.__name__}.{source}.{stem}')
  logging.info(
      'All %d variables are filled; they are in %s.\nThe rules say:\n%s',
      len(_flat(params)) + len(_flat(variables)),
      workdir.path,
      module.__doc__.strip(),
  )
