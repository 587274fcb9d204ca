"""Writes weights of other sources as workdirs, and back."""

import collections
import contextlib
import dataclasses
import importlib
import json
import re

from absl import logging
from flax import traverse_util
import jax

from segjax import backbones
from segjax import experiment
from segjax import models
from segjax.artifacts import checkpoint
from segjax.artifacts.workdir import Workdir
from segjax.convert import rules
from segjax.convert import sources
from segjax.convert import torch
from segjax.convert import torch_file
from segjax.data import fields
from segjax.data import label_map as label_maps
from segjax.runtime import atomic

HEAD = 1000  # Classes of ImageNet.
CHANNELS = 3  # Of the images that weights by name were trained with.
# Files of a workdir: names and shapes of the tensors that its weights were, and
# those of them that rules drop.
ORIGIN, DROPPED = 'origin.json', 'dropped.safetensors'


def describe():
  """Returns the lines that `--list` shows."""
  lines = []
  for source, stems in rules.names().items():
    package = f'{rules.__name__}.{source}'
    lines.append(f'{source:<16}{_about(package)}')
    lines += [f'  {stem:<14}{_about(f"{package}.{stem}")}' for stem in stems]
  named = (
      'Weights by name, for --config.init_from and --checkpoint, kept in'
      f' {sources.folder()}:'
  )
  return '\n'.join([*lines, '', named, sources.describe()])


def _about(module):
  return importlib.import_module(module).__doc__.partition('\n')[0]


def convert(
    source,
    config,
    path,
    output,
    *,
    key='',
    ema=False,
    num_classes=0,
    channels=3,
):
  """Writes a workdir with the weights of a system.

  Args:
    source: name of a folder of `rules`.
    config: config of the system with the fields it was trained with there.
    path: file of the weights, or what else `sources.local` takes.
    output: folder for the workdir.
    key: see `torch_file.read`.
    ema: see `torch_file.read`.
    num_classes: number of classes of the weights; 0 stands for those of the
      config's data set.
    channels: number of channels of the images.

  Raises:
    ValueError: the weights do not fit the system; lists what does not.
  """
  label_map = read_label_map(config, num_classes)
  state = torch_file.read(sources.local(path), key, ema)
  renaming = rules.find(source, config.model_name, _kind(config))
  system = experiment.system(config, label_map)
  side = 128 + 2 * system.halo
  template = _template(
      system.model, channels, system.reads, system.sides or (side, side)
  )
  layout = rules.layout(source)
  state = _unwrap(state, torch.Plan(state, renaming, template, layout))
  variables = torch.convert(state, renaming, template, layout)
  workdir = _new_workdir(output)
  workdir.claim(config)
  workdir.write_labels(label_map, channels)
  plan = torch.Plan(state, renaming, template, layout)
  _save(workdir, variables, source, config.model_name, state, plan)


def _kind(config):
  """Returns what rules depend on: the backbone, or the variant without one."""
  return config.model.get('backbone', config.model.get('variant', ''))


def convert_backbone(
    source, backbone, path, output, *, key='', ema=False, channels=3
):
  """Writes a folder with the weights of a backbone, for `config.init_from`.

  Args:
    source: name of a folder of `rules`.
    backbone: 'family/variant'.
    path: file of the weights, or what else `sources.local` takes.
    output: folder to write.
    key: see `torch_file.read`.
    ema: see `torch_file.read`.
    channels: number of channels of the images.

  Raises:
    ValueError: the weights do not fit the backbone; lists what does not.
  """
  state = torch_file.read(sources.local(path), key, ema)
  variables, stem, state, plan = _of_backbone(source, backbone, state, channels)
  _save(
      _new_workdir(output),
      variables,
      source,
      stem,
      state,
      plan,
      backbone=backbone,
  )


def _of_backbone(source, backbone, state, channels):
  """Returns the variables {collection: {'backbone': ...}} of a backbone.

  Also returns the name of the file of its rules, the state without prefixes,
  and the `Plan` of where its tensors go.
  """
  stem, renaming = _rules_of_backbone(source, backbone)
  bare, whole = (
      _flat(_template(backbones.build(backbone, num_classes=n), channels))
      for n in (0, HEAD)
  )
  layout = rules.layout(source)
  both = _nested(bare | whole)
  state = _unwrap(state, torch.Plan(state, renaming, both, layout))
  plan = torch.Plan(state, renaming, both, layout)
  template = _nested(_without_absent(plan, state, bare.keys() & whole))
  variables = torch.convert(state, renaming, template, layout)
  nested = {name: {'backbone': tree} for name, tree in variables.items()}
  plan = torch.Plan(state, renaming, template, layout)
  return nested, stem, state, plan


def _rules_of_backbone(source, backbone):
  """Returns the stem of the file of rules, and the rules."""
  family = backbone.partition('/')[0]
  # The rules of HRNet's file of that name are for the system.
  own = 'backbone' in rules.names().get(source, ())
  stem = 'backbone' if own else family
  return stem, rules.find(source, stem, backbone)


def _without_absent(plan, state, needed):
  """Returns the variables of a backbone but for modules that a file lacks.

  The norms of levels and the classifier are such modules: a file has those, or
  this one, or neither.

  Args:
    plan: with all variables.
    state: the tensors of the file.
    needed: paths of variables that every backbone of this kind has.
  """
  present = {
      path.rpartition('/')[0] for path in _places(plan, state).values() if path
  }
  return {
      path: variable
      for path, variable in plan.variables.items()
      if path in needed or path.rpartition('/')[0] in present
  }


def read_named(weights: sources.Weights) -> dict:
  """Returns {collection: variables} of weights by name, as a run has them.

  Args:
    weights: from `sources.find`; the file is fetched if it is not there.

  Raises:
    ValueError: the file is not the one that its name says, or does not fit.
    ConnectionError: it is not there and cannot be fetched.
  """
  state = _read_state(weights)
  if weights.backbone:
    return _of_backbone(weights.source, weights.backbone, state, CHANNELS)[0]
  model = models.create(weights.model, weights.num_classes, **weights.fields)
  renaming = rules.find(
      weights.source, weights.model, weights.fields.get('backbone', '')
  )
  layout = rules.layout(weights.source)
  return torch.convert(state, renaming, _template(model, CHANNELS), layout)


def _read_state(weights):
  """Returns {name: array} of weights by name."""
  state = torch_file.read(sources.fetch(weights))
  return {n: x for n, x in state.items() if re.match(weights.only, n)}


def write_back(workdir, to, *, source='', like=''):
  """Writes the best checkpoint of a workdir under the names of a source.

  Args:
    workdir: folder of a run, or one that `convert` has written.
    to: file to write, `.safetensors` or `.npz`.
    source: name of a folder of `rules`; needed with `like`.
    like: file of that source with the names and shapes to write; by default
      they are those of the file that the run began with.

  Raises:
    ValueError: the names and the variables do not fit; lists what does not.
  """
  workdir = Workdir(workdir)
  step, variables = checkpoint.best(workdir.checkpoints)
  if like:
    given = torch_file.read(like)
    shapes = {name: tensor.shape for name, tensor in given.items()}
  else:
    origin = _origin(workdir)
    source, shapes, given = (
        origin[name] for name in ('source', 'shapes', 'dropped')
    )
  if workdir.config.exists():
    config = workdir.read_config()
    renaming = rules.find(source, config.model_name, _kind(config))
  else:
    renaming = _rules_of_backbone(source, origin['backbone'])[1]
    variables = {name: tree['backbone'] for name, tree in variables.items()}
  layout = rules.layout(source)
  state = torch.export(variables, renaming, shapes, layout)
  dropped = {name: given[name] for name in given if name not in state}
  torch_file.write(to, {**state, **dropped})
  logging.info(
      'Wrote %d tensors of step %d under their names in %s to %s, and %d that'
      ' no variable is for, as they were.',
      len(state),
      step,
      source,
      to,
      len(dropped),
  )


def _origin(workdir):
  """Returns what the weights of a workdir came with.

  Args:
    workdir: of a run, or one that `convert` has written.

  Returns:
    {'source', 'shapes': those of all tensors, 'dropped': tensors that rules may
    drop, and 'backbone' of one that was converted alone}.
  """
  if (workdir.path / ORIGIN).exists():
    origin = json.loads((workdir.path / ORIGIN).read_text())
    dropped = workdir.path / DROPPED
    given = torch_file.read_written(dropped) if dropped.exists() else {}
    return {**origin, 'dropped': given}
  before = workdir.config.exists() and workdir.read_config().get('init_from')
  if not before:
    raise ValueError(
        f'{workdir.path} does not say which names of another source its weights'
        ' came with. Give a file that has the names to write, and its source:'
        ' --like=FILE --source=...'
    )
  if named := sources.find(before):
    state = _read_state(named)
    shapes = {name: tensor.shape for name, tensor in state.items()}
    return {'source': named.source, 'shapes': shapes, 'dropped': state}
  return _origin(Workdir(before))


def read_label_map(config, num_classes):
  """Returns the label map of the weights."""
  if num_classes:
    numbered = label_maps.numbered(num_classes)
    if config.task == 'instances':  # Class 0 is no object.
      things = tuple(range(1, num_classes))
      return dataclasses.replace(numbered, things=things)
    return numbered
  try:  # A label map that is a file needs no images of the data set.
    return label_maps.read(config.dataset.name)
  except FileNotFoundError:
    return experiment.eval_dataset(config).label_map


def _template(module, channels, reads=('image',), size=(128, 128)):
  """Returns the shapes of the variables of a model or of a backbone."""
  given = fields.placeholders(reads, (1, *size, channels))
  return jax.eval_shape(lambda: module.init(jax.random.key(0), *given.values()))


def _flat(variables):
  return traverse_util.flatten_dict(variables, sep='/')


def _nested(variables):
  return traverse_util.unflatten_dict(variables, sep='/')


def _new_workdir(path):
  workdir = Workdir(path)
  if workdir.checkpoints.exists():
    raise ValueError(
        f'{path} has checkpoints already: choose another --output.'
    )
  workdir.make()
  return workdir


def _places(plan, state):
  """Returns {name: path of its variable, or None}, where the rules have one."""
  places = {}
  for name, tensor in state.items():
    with contextlib.suppress(LookupError):
      place = plan.locate(name, tensor.ndim)
      places[name] = place and place[0]
  return places


def _unwrap(state, plan):
  """Returns a state without what wrappers put in front of the names.

  Lightning's names begin with 'model.', for instance. A first part that all
  names share is taken off while the rules have a place for none of them.
  """
  prefix, unwrapped = '', state
  while not any(_places(plan, unwrapped).values()):
    first = {name.partition('.')[0] for name in unwrapped}
    if len(first) != 1 or not all('.' in name for name in unwrapped):
      _suggest_keys(unwrapped, prefix, plan)
      return state  # The list of problems then has the names of the file.
    prefix += f'{first.pop()}.'
    unwrapped = {n.partition('.')[2]: x for n, x in unwrapped.items()}
  if prefix:
    logging.info('All names begin with %r, which is taken off.', prefix)
  return unwrapped


def _suggest_keys(state, prefix, plan):
  """Says which names would fit without their beginnings, such as 'student'."""
  parts = collections.defaultdict(dict)
  for name, tensor in state.items():
    first, _, rest = name.partition('.')
    parts[first][rest] = tensor
  if fitting := [
      f'--key={prefix}{first}'
      for first, behind in parts.items()
      if any(_places(plan, behind).values())
  ]:
    logging.warning(
        'Names begin differently. %s takes those of one module alone.',
        ' or '.join(fitting),
    )


def _save(workdir, variables, source, stem, state, plan, **origin):
  """Writes the checkpoint and its origin; prints where every tensor went."""
  places = _places(plan, state)
  rows = [
      (name, str(list(state[name].shape)), path or 'dropped by a rule')
      for name, path in places.items()
  ]
  wide = [max(len(row[i]) for row in rows) for i in range(2)]
  for row in rows:
    print(f'{row[0]:<{wide[0]}}  {row[1]:<{wide[1]}}  {row[2]}')

  params = variables.pop('params')
  checkpoints = checkpoint.Checkpoints(workdir.checkpoints)
  checkpoints.save(0, {'params': params, 'mutable': variables})
  checkpoints.close()
  shapes = {name: tensor.shape for name, tensor in state.items()}
  origin = {'source': source, 'shapes': shapes, **origin}
  atomic.write_json(workdir.path / ORIGIN, origin)
  if dropped := {name: state[name] for name in state if places[name] is None}:
    torch_file.write(workdir.path / DROPPED, dropped)
  module = importlib.import_module(f'{rules.__name__}.{source}.{stem}')
  logging.info(
      'All %d variables are filled and saved in %s.\nThe rules say:\n%s',
      len(_flat(params)) + len(_flat(variables)),
      workdir.path,
      module.__doc__.strip(),
  )
