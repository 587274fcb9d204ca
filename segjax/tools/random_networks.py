r"""Compares the network that a search has found with random ones.

  python -m segjax.tools.random_networks --search=runs/search \
      --config=configs/autodeeplab.py --root=runs/random \
      --output=runs/random.md

Random networks are read off random architectures as the one that is found is
off the architecture that was learnt. Of many, those are taken whose cost is
nearest to its cost. All are trained with the same config, and the same seeds,
each in a folder of its own under --root; the command goes on where it stopped.
The page that is written has all scores, whoever wins.
"""

from collections.abc import Sequence
import pathlib
import re
import statistics

from absl import app
from absl import flags
from absl import logging
from etils import epath
import jax
from ml_collections import config_flags
import numpy as np

from segjax import experiment
from segjax import optim
from segjax import train
from segjax.artifacts.workdir import Workdir
from segjax.benchmark import products
from segjax.ops import conv
from segjax.runtime import atomic
from segjax.runtime import machine
from segjax.runtime import progress
from segjax.runtime import terminal
from segjax.tools import genotype


def with_network(config, fields: dict):
  """Returns a copy of a config whose model has some fields.

  What the config leaves empty stays so: a student without a teacher learns
  without, though a search finds a teacher, too.
  """
  config = config.copy_and_resolve_references()
  used = {k: v for k, v in fields.items() if config.model[k] != ()}
  config.model.update(used)
  return config


def cost(config) -> int:
  """Returns the FLOPs of a config's network for one image, in evaluation.

  They are those of convolutions and of matrix products, with which resizing is
  computed, too, for an image of the evaluation split.
  """
  dataset = experiment.eval_dataset(config)
  system = experiment.system(config, dataset.label_map)
  shape = 1, *dataset[0]['image'].shape

  def predict(variables):
    image = jax.numpy.zeros(shape)
    return system.apply(variables, {'image': image}, train=False)[0]['logits']

  with conv.plain():  # Other algorithms are not counted as convolutions.
    return products.count(jax.make_jaxpr(predict)(system.shapes(shape)).jaxpr)


def draw(search: genotype.Search, names: str, seed: int) -> dict:
  """Returns the fields of a random network of a search.

  Args:
    search: whose parameters say what there is to draw.
    names: regular expression of the parameters of the architecture.
    seed: of the draw.
  """
  rng = np.random.default_rng(seed)
  drawn = jax.tree.map(
      lambda name, x: rng.standard_normal(np.shape(x), np.float32)
      if re.search(names, name)
      else x,
      optim.by_name(search.params, str),
      search.params,
  )
  return search.decode(drawn)


def nearest(
    config, target: int, candidates: Sequence[dict], count: int
) -> dict[str, tuple[dict, int]]:
  """Returns the networks whose cost is nearest to a target.

  Args:
    config: of all.
    target: FLOPs.
    candidates: fields of networks.
    count: how many to take.

  Returns:
    {'random1': (fields, FLOPs), ...}, the nearest first.
  """
  known = {}
  for fields in progress.track(candidates, len(candidates), 'Costs'):
    known.setdefault(repr(fields), (fields, cost(with_network(config, fields))))
  ranked = sorted(known.values(), key=lambda pair: abs(pair[1] - target))
  return {f'random{i}': pair for i, pair in enumerate(ranked[:count], 1)}


def page(
    config,
    facts: dict,
    networks: dict[str, tuple[dict, int]],
    scores: dict[str, list[float]],
) -> str:
  """Returns the page with the scores of all networks.

  Args:
    config: of all.
    facts: from `machine.start`.
    networks: {name: (fields, FLOPs)}.
    scores: of each network by seed.
  """
  best = experiment.task(config).BEST
  seeds = len(next(iter(scores.values())))
  lines = [
      f'# What the search for {config.model_name} has found, and random'
      ' networks',
      '',
      f'{best} on {config.dataset.eval_split} of `{config.dataset.name}` after'
      f' {config.total_steps} steps of {config.batch_size} images, from random'
      ' weights; GFLOPs of convolutions and matrix products for one image; mean'
      ' and standard deviation over seeds. Written by',
      '',
      f'    {facts["command"]}',
      '',
      f'on {facts["date"]}, {facts["hardware"]}, {facts["cores"]} cores.',
      '',
      '| network | GFLOPs | '
      + ' | '.join(f'seed {seed}' for seed in range(seeds))
      + ' | mean | deviation |',
      '|---' * (seeds + 4) + '|',
  ]
  for name, values in scores.items():
    cells = [name, f'{networks[name][1] / 1e9:.3f}']
    cells += [f'{100 * value:.1f}' for value in values]
    cells.append(f'{100 * statistics.mean(values):.1f}')
    cells.append(f'{100 * statistics.stdev(values):.1f}' if seeds > 1 else '')
    lines.append(f'| {" | ".join(cells)} |')
  lines += ['', 'Their fields:', '']
  for name, (fields, _) in networks.items():
    used = with_network(config, fields).model
    words = ', '.join(f'{key}={used[key]}' for key in fields if used[key] != ())
    lines.append(f'- {name}: `{words}`')
  return '\n'.join(lines) + '\n'


def choose(
    config, path: str, count: int, draws: int
) -> dict[str, tuple[dict, int]]:
  """Returns what a search has found, and random networks of about its cost.

  Args:
    config: of the model that the search is for.
    path: workdir of the search.
    count: how many random networks.
    draws: how many to draw them from.

  Returns:
    {'found': (fields, FLOPs), 'random1': ...}.
  """
  workdir = Workdir(path)
  search = genotype.load(workdir)
  names = workdir.read_config().optim.groups.architecture.names
  found = search.decode(search.params)
  target = cost(with_network(config, found))
  candidates = [draw(search, names, seed) for seed in range(draws)]
  return {'found': (found, target)} | nearest(config, target, candidates, count)


def train_all(
    config, networks: dict[str, tuple[dict, int]], seeds: int, root: str
) -> dict[str, list[float]]:
  """Trains networks with several seeds; returns their scores by seed.

  Args:
    config: of all.
    networks: from `choose`.
    seeds: how many.
    root: folder of the workdirs, NETWORK-SEED.
  """
  best = experiment.task(config).BEST
  scores = {name: [] for name in networks}
  runs = [(name, seed) for seed in range(seeds) for name in networks]
  for name, seed in progress.track(runs, len(runs), 'Trainings'):
    trained = with_network(config, networks[name][0])
    trained.seed = seed
    workdir = Workdir(pathlib.Path(root) / f'{name}-{seed}')
    scores[name].append(train.run(trained, workdir)[best])
  return scores


def main(
    config,
    search: str,
    root: str,
    output: str,
    networks: int,
    draws: int,
    seeds: int,
) -> None:
  """Trains what a search has found and random networks, and writes the page."""
  with terminal.errors_in_words():
    chosen = choose(config, search, networks, draws)
    scores = train_all(config, chosen, seeds, root)
    text = page(config, machine.start(), chosen, scores)
    with atomic.replacing(epath.Path(output)) as file:
      file.write(text.encode())
    logging.info('%s\nWritten to %s.', text, output)


if __name__ == '__main__':
  _CONFIG = config_flags.DEFINE_config_file('config')
  _SEARCH = flags.DEFINE_string('search', None, 'Workdir of the search.')
  _ROOT = flags.DEFINE_string('root', None, 'Folder of all trainings.')
  _OUTPUT = flags.DEFINE_string('output', None, 'Page to write, in Markdown.')
  _NETWORKS = flags.DEFINE_integer('networks', 3, 'Random networks.', 1)
  _DRAWS = flags.DEFINE_integer('draws', 20, 'Networks to choose from.', 1)
  _SEEDS = flags.DEFINE_integer('seeds', 3, 'Trainings of each network.', 1)
  flags.mark_flags_as_required(['config', 'search', 'root', 'output'])
  app.run(
      lambda _: main(
          _CONFIG.value,
          _SEARCH.value,
          _ROOT.value,
          _OUTPUT.value,
          _NETWORKS.value,
          _DRAWS.value,
          _SEEDS.value,
      ),
      flags_parser=terminal.parse_flags,
  )
