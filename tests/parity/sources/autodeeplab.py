"""Auto-DeepLab as its authors publish it, NoamRosenberg's port, and the search.

The authors' network is a PyTorch network with the names of their scopes; nobody
has weights by these names, so that their rules are here.
"""

import numpy as np

from segjax import models
from segjax.convert.rules.noamrosenberg import autodeeplab as activated
from segjax.convert.rules.noamrosenberg import autodeeplab_search as searching
from segjax.convert.rules.noamrosenberg_bn import autodeeplab as plain
from segjax.layers.operations import SEARCHED
from segjax.models import autodeeplab
from segjax.models import autodeeplab_search
from tests.parity.case import Case
from tests.parity.case import FunctionCase
from tests.parity.case import inside

CELL = r'cell_(\d+)'
OPERATION = rf'{CELL}\.comb_iter_(\d)\.(left|right)'
CONV = r'cell\1/block\2_\3/conv'


def conv_norm(source, target):
  return (
      (rf'{source}\.conv', f'{target}/conv'),
      (rf'{source}\.bn', f'{target}/norm'),
  )


RULES = (
    (r'conv(\d)', r'stem\1/conv'),
    (r'conv(\d)_bn', r'stem\1/norm'),
    (rf'{CELL}\.1x1', r'cell\1/last/conv'),
    (rf'{CELL}\.beginning_bn', r'cell\1/last/norm'),
    (rf'{CELL}\.prev_1x1', r'cell\1/before/conv'),
    (rf'{CELL}\.prev_bn', r'cell\1/before/norm'),
    (rf'{OPERATION}\.atrous_\dx\d', rf'{CONV}/conv'),
    (rf'{OPERATION}\.bn_atr_\dx\d', rf'{CONV}/norm'),
    (rf'{OPERATION}\.separable_\dx\d_(\d)\.(\w+)', rf'{CONV}/\5\4'),
    (rf'{OPERATION}\.bn_sep_\dx\d_(\d)', rf'{CONV}/norm\4'),
    *conv_norm('image_pooling', 'aspp/image'),
    *conv_norm('aspp0', 'aspp/point'),
    *conv_norm(r'aspp(\d)', r'aspp/atrous\1'),
    *conv_norm('concat_projection', 'aspp/project'),
    *conv_norm('feature_projection0', 'low'),
    *conv_norm(r'decoder_conv(\d)', r'decode\1'),
    ('logits', 'classifier'),
)


def published(spec):
  """The authors' network; their states 0 and 1 are our 1 and 0."""
  built = spec['build']
  states = [(1, 0, 2, 3, 4, 5)[i] for i in built['hiddenstate_indices']]
  names = {'atrous': 'atrous{}', 'separable': 'sep{}'}
  cell = tuple(
      (state, names[kind.partition('_')[0]].format(kind.partition('_')[2][0]))
      for state, kind in zip(states, built['operations'], strict=True)
  )
  return models.create(
      'autodeeplab',
      spec['num_classes'],
      features=built['filters'],
      levels=tuple(built['path']),
      cell=cell,
  )


def port(spec):
  built = spec['build']
  return models.create(
      'autodeeplab',
      spec['num_classes'],
      features=built['filter_multiplier'],
      levels=autodeeplab.PORT_LEVELS,
      cell=autodeeplab.PORT_CELL,
      port=True,
      activated=built['use_ABN'],
      affine=built['affine'],
  )


def backbone(out, parts):
  return parts['cell11'].clip(0)[..., :64]


def search(spec):
  built = spec['build']
  return models.create(
      'autodeeplab_search',
      spec['num_classes'],
      layers=built['num_layers'],
      features=built['filter_multiplier'],
      blocks=built['step'],
      slip=True,
  )


def edges(alphas):
  """The cell as edges, counted over all blocks, and numbers of operations.

  That code chooses edges without regard to none, and then writes none where it
  is the strongest operation.
  """
  rows = []
  for i, (state, kind) in enumerate(autodeeplab_search.best_cell(alphas)):
    edge = sum(2 + j for j in range(i // 2)) + state
    operation = SEARCHED.index(kind) if alphas[edge].argmax() else 0
    rows.append((edge, operation))
  return np.array(rows)


def moves(levels):
  """The path as a one-hot array [layers, level, (up, same, down)] of moves.

  The levels are where moves lead to; that code has 0 for the first move.
  """
  array = np.zeros((len(levels), 4, 3))
  for i, level in enumerate(levels):
    array[i, level, (1 - level + levels[i - 1]) if i else 0] = 1
  return array


def decoded(number):
  def network(given):
    return autodeeplab_search.normalized_betas(given[f'betas_{number}'])

  def levels(given):
    return np.array(autodeeplab_search.best_levels(network(given)))

  return {
      f'network_space_{number}': network,
      f'path_{number}': levels,
      f'path_space_{number}': lambda given: moves(levels(given)),
      f'genotype_{number}': lambda given: edges(given[f'alphas_{number}']),
  }


PORT = {
    'logits': inside('classifier'),
    'encoder_first32': inside('cell11', first=32),
    'aspp_first32': inside('aspp', first=32),
}
PARTS = ('cell11', 'classifier')

CASES = {
    'autodeeplab': Case(
        published,
        RULES,
        {
            'logits': inside('classifier'),
            'backbone_first64': backbone,
            'cell_2_first32': inside('cell2', first=32),
        },
        parts=(*PARTS, 'cell2'),
    ),
    'autodeeplab_noam': Case(
        port, activated.RULES, PORT, parts=(*PARTS, 'aspp')
    ),
    'autodeeplab_noam_bn': Case(
        port, plain.RULES, PORT, parts=(*PARTS, 'aspp')
    ),
    'autodeeplab_search': Case(
        search,
        searching.RULES,
        {f'aspp_{4 * 2**i}': inside(f'head{i}') for i in range(4)},
        parts=tuple(f'head{i}' for i in range(4)),
        whole=False,
    ),
    'autodeeplab_decode': FunctionCase(
        {
            name: function
            for number in range(6)
            for name, function in decoded(number).items()
        }
    ),
}
