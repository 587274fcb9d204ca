import importlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.layers import expected_latency
from segjax.layers import slimmable
from segjax.layers import slimmable_paths
from segjax.layers.slimmable import Width
from segjax.models import fasterseg
from segjax.models import fasterseg_search as search

WIDTHS = (4, 8, 12)
SIZE = (64, 128)


def draw(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def sliced(variables, read, write, index):
  """The variables that an operation has at a width, as the fixed network's."""
  params, found, moving = variables['params'], {}, {}
  # The norm of a skip is that of both of its convolutions, if it has two.
  skip = 'norm' in params
  halves = 2 if 'conv2' in params and skip else 1
  for name in filter(lambda n: n.startswith('conv'), params):
    inputs = read if skip or name == 'conv1' else write
    kernel = params[name]['conv']['kernel'][:, :, :inputs, : write // halves]
    found[name] = {'conv': {'kernel': kernel}}
  for name in filter(lambda n: n.startswith('norm'), params):
    at = [] if halves == 2 else [f'conv{name[4:] or 1}']
    for tree, source in ((found, 'params'), (moving, 'batch_stats')):
      for key in at:
        tree = tree.setdefault(key, {})
      tree['norm'] = {
          key: rows[index, :write]
          for key, rows in variables[source][name].items()
      }
  return {'params': found, 'batch_stats': moving}


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('kind', slimmable_paths.OPERATIONS)
def test_an_operation_at_a_width_is_that_of_fewer_channels(kind, stride):
  features, index = 24 * stride, 1
  module = slimmable_paths.Operation(kind, features, stride, WIDTHS)
  read, write = (slimmable.counts(n, WIDTHS)[index] for n in (24, features))
  x = draw(1, 6, 8, 24)
  x[..., read:] = 0
  shapes = jax.eval_shape(
      lambda x: module.init(jax.random.key(0), x, Width(0), False), x
  )
  rng = np.random.default_rng(1)
  variables = jax.tree.map(
      lambda s: rng.uniform(0.5, 1.5, s.shape).astype(np.float32)
      if len(s.shape) == 2
      else 0.2 * rng.normal(size=s.shape).astype(np.float32),
      shapes,
  )
  y = module.apply(variables, x, Width(index), False)
  assert not y[..., write:].any()
  narrow = fasterseg.Operation(kind, write, stride, project=True)
  expected = narrow.apply(
      sliced(variables, read, write, index),
      x[..., :read],
      False,
  )
  np.testing.assert_allclose(y[..., :write], expected, rtol=1e-4, atol=1e-4)


def test_the_norm_of_the_width_in_use_moves_alone():
  norm = slimmable.WidthNorm(WIDTHS, inputs=2)
  x = 2 + draw(2, 3, 4, 24)
  variables = norm.init(jax.random.key(0), x, Width(0), False)
  y, changed = norm.apply(
      variables, x, Width(jnp.int32(1)), True, mutable=['batch_stats']
  )
  assert not y[..., 16:].any()
  # Each input by its own statistics, which move one after the other.
  np.testing.assert_allclose(y[..., :16].mean((1, 2)), 0, atol=1e-5)
  means = x[..., :16].mean((1, 2))
  after = changed['batch_stats']['mean']
  expected = 0.9 * 0.1 * means[0] + 0.1 * means[1]
  np.testing.assert_allclose(after[1, :16], expected, rtol=1e-4)
  for row in (0, 2):
    np.testing.assert_array_equal(
        after[row], variables['batch_stats']['mean'][row]
    )


def test_sampled_widths_pass_gradients_of_their_probabilities():
  ratios, uniform = draw(3, 4), np.random.default_rng(1).uniform(size=(3, 4))
  widths = slimmable.sampled(jnp.asarray(ratios), uniform)
  noisy = ratios - np.log(-np.log(uniform))
  np.testing.assert_array_equal(widths.index, noisy.argmax(-1))
  np.testing.assert_allclose(widths.score, 1, rtol=1e-6)

  def probability(ratios):
    soft = jax.nn.softmax(jax.nn.log_softmax(ratios) - np.log(-np.log(uniform)))
    return soft.max(-1).sum()

  np.testing.assert_allclose(
      jax.grad(lambda r: slimmable.sampled(r, uniform).score.sum())(
          jnp.asarray(ratios)
      ),
      jax.grad(probability)(jnp.asarray(ratios)),
      rtol=1e-4,
      atol=1e-6,
  )


def latency(table, layers, **options):
  alphas = [
      jax.nn.softmax(jnp.asarray(draw(layers - s, 5, seed=s))) for s in range(3)
  ]
  betas = [None] + [
      jax.nn.softmax(jnp.asarray(draw(layers - 1 - s, 2, seed=s)))
      for s in (1, 2)
  ]
  return expected_latency.expected_latency(
      table,
      SIZE,
      layers=layers,
      features=2,
      widths=WIDTHS,
      ends=8,
      alphas=alphas,
      betas=betas,
      chosen=[
          slimmable.sampled(
              jnp.zeros((layers - max(s, 1), 3)),
              np.random.default_rng(s).uniform(size=(layers - max(s, 1), 3)),
          )
          for s in range(3)
      ],
      **options,
  )


def test_paths_to_all_scales_have_as_many_operators():
  for layers in (3, 5):
    table = dict.fromkeys(
        expected_latency.operators(SIZE, layers, 2, WIDTHS, 8), 1.0
    )
    np.testing.assert_allclose(
        latency(table, layers), 3 * (3 + layers), rtol=1e-5
    )


def test_a_table_of_other_sizes_is_refused_with_the_command():
  table = dict.fromkeys(
      expected_latency.operators((32, 64), 3, 2, WIDTHS, 8), 1.0
  )
  with pytest.raises(ValueError, match='64x128 .* segjax.tools.latency'):
    latency(table, 3)


def test_the_loss_is_of_all_heads_and_of_the_latency():
  scores = {'student_head0': draw(1, 2, 3, 4), 'max_head0': draw(1, 2, 3, 4)}
  out = {'scores': scores, 'latency': {'alpha': 5, 'beta': 10, 'ratio': 20}}
  batch = {'label': np.zeros((1, 16, 24), np.uint8)}
  seen = []

  def base(out, batch, rng):
    seen.append(batch['label'].shape)
    return out['logits'].sum(), {}

  total, parts = search.loss(
      out,
      batch,
      jax.random.key(0),
      base=base,
      latency_weight=0.5,
      shares=(0.1, 0.2, 0.3),
  )
  expected = scores['student_head0'].sum() + scores['max_head0'].sum()
  np.testing.assert_allclose(parts['latency'], 0.5 + 2 + 6, rtol=1e-6)
  np.testing.assert_allclose(total, expected + 0.5 * 8.5, rtol=1e-4)
  assert seen == [(1, 2, 3)] * 2


@pytest.mark.parametrize('seed', range(6))
def test_what_is_found_is_a_network(seed):
  layers, widths = 9, (4, 6, 8, 10, 12)
  params = {}
  for role in ('student', 'teacher'):
    params[role] = {
        **{f'alpha{s}': draw(layers - s, 5, seed=seed) for s in range(3)},
        **{f'beta{s}': draw(layers - 1 - s, 2, seed=seed) for s in (1, 2)},
    }
    params[role]['alpha0'][:, 0] += 2  # Many skips.
  params['student'] |= {
      f'ratio{s}': draw(layers - max(s, 1), 5, seed=seed) for s in range(3)
  }
  fields = search.decode(params, widths=widths)
  for branches in (fields['branches'], fields['teacher']):
    fasterseg.check(branches)
    for end, (_, scales, _) in zip((2, 1), branches, strict=True):
      assert scales[-1] == end
      assert len(scales) >= round(layers / 3) + 2 * end
  models.create('fasterseg', 4, **fields)


def test_turns_and_frozen_parts_are_those_of_the_stages(tmp_path):
  module = importlib.import_module('configs.fasterseg_search')
  config = module.get_config('dataset=cityscapes,pretrain=True')
  assert config.optim.factors == ((r'^(teacher|student)/', 0.0),)
  assert not config.optim.groups
  file = tmp_path / 'latency.json'
  file.write_text(json.dumps({'conv 1x1': 0.5}))
  config = module.get_config(f'dataset=cityscapes,latency={file}')
  assert config.dataset.by_turn
  assert config.model.latency == (('conv 1x1', 0.5),)
