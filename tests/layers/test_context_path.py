import jax
import numpy as np

from segjax.layers.context_path import AttentionRefinement
from segjax.layers.context_path import ContextPath


def fill(module, x):
  """Variables of a module, drawn at random."""
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x, False))
  return jax.tree.map(
      lambda x: rng.uniform(0.1, 0.5, x.shape).astype(x.dtype), shapes
  )


def test_attention_scales_each_channel_alike_everywhere():
  layer = AttentionRefinement(4)
  x = np.random.default_rng(1).uniform(size=(2, 5, 6, 3)).astype(np.float32)
  refined, captured = layer.apply(
      fill(layer, x),
      x,
      False,
      capture_intermediates=True,
      mutable=['intermediates'],
  )
  before = captured['intermediates']['conv']['__call__'][0]
  gate = refined / before
  assert ((gate > 0) & (gate < 1)).all()
  np.testing.assert_allclose(
      gate, np.broadcast_to(gate[:, :1, :1], gate.shape), rtol=1e-5
  )
  assert not np.allclose(gate[0], gate[1])  # Each image has its own.


def test_a_level_reads_those_that_are_deeper_and_of_its_own_the_size():
  rng = np.random.default_rng(1)
  sizes = {'c3': (9, 13), 'c4': (5, 7), 'c5': (3, 4)}
  feats = {
      level: rng.uniform(size=(1, *size, 2)).astype(np.float32)
      for level, size in sizes.items()
  }
  layer = ContextPath(4)
  variables = fill(layer, feats)
  joined = layer.apply(variables, feats, False)
  for level in ('c4', 'c3'):
    assert joined[level].shape == (1, *sizes[level], 4)
    own = {**feats, level: feats[level] + 1}
    other = layer.apply(variables, own, False)
    np.testing.assert_array_equal(other[level], joined[level])
    assert level == 'c3' or not np.allclose(other['c3'], joined['c3'])
