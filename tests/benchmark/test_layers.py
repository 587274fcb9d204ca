import jax
import numpy as np

from segjax.benchmark import layers


def test_nine_taps_are_the_deformable_convolution():
  group = layers.layers((5, 7), 8)['deformable convolution']
  (ours, args), (taps, same) = (
      group[name] for name in ('deformable', 'nine gathered taps')
  )
  assert args is same
  np.testing.assert_allclose(
      jax.jit(ours)(*args), jax.jit(taps)(*args), rtol=1e-3, atol=1e-4
  )


def test_each_layer_has_both_ways_and_its_ratio_to_the_plain_one():
  groups = layers.layers((4, 4), 8)
  assert all(next(iter(g)).startswith('plain') for g in groups.values())
  strips = {
      k: groups['strips'][k] for k in ('plain', 'each channel by 21 x 21')
  }
  plain, square = layers.rows({'strips': strips}, 0.0)
  assert plain[:2] == ('strips', 'plain')
  assert plain[3] == plain[5] == '1.00'
  assert len(plain) == len(square) == 6
  for cell in (*plain[2::2], *square[2::2]):
    median, least = cell.rstrip(')').split(' (')
    assert float(median) >= float(least) > 0


def test_strips_see_as_far_as_the_square():
  x = np.zeros((1, 41, 41, 8), np.float32)
  x[0, 20, 20] = 1
  for module in (layers.Strips(), layers.Square()):
    y, _ = jax.jit(module.init_with_output)(jax.random.key(0), x)
    rows, columns = np.nonzero(np.abs(y[0]).max(-1))
    assert rows.min() == columns.min() == 10
    assert rows.max() == columns.max() == 30
