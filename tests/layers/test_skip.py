import jax
import numpy as np
import pytest

from segjax.layers.skip import SkipHead

# Cells of each level, their distance in pixels, and where in the image the
# first has its centre, which the border of 99 pixels around the image shifts:
# fc7 sees seven of 32 pixels, c4 one of 16, c3 one of 8.
LEVELS = {
    'fc7': (6, 32, 3 * 32 + 15.5 - 99),
    'c4': (24, 16, 7.5 - 99),
    'c3': (48, 8, 3.5 - 99),
}
SIZE = (186, 170)


def logits(level, stride):
  """Logits where the cells of one level say where they are."""
  feats, params = {}, {}
  for name, (cells, distance, start) in LEVELS.items():
    rows, columns = np.mgrid[:cells, :cells] * distance + start
    feats[name] = np.stack([rows, columns], -1)[None].astype(np.float32)
    kernel = np.eye(2)[None, None] * (name == level)
    params[f'score_{name}'] = {'kernel': kernel, 'bias': np.zeros(2)}
  head = SkipHead(2, stride)
  fresh = head.init(jax.random.key(0), feats, SIZE)['params']
  params = {name: params.get(name, fresh[name]) for name in fresh}
  return head.apply({'params': params}, feats, SIZE)


@pytest.mark.parametrize(
    ('level', 'stride'),
    [('fc7', 32), ('fc7', 16), ('c4', 16), ('fc7', 8), ('c4', 8), ('c3', 8)],
)
def test_scores_lie_where_their_cells_lie_in_the_image(level, stride):
  out = logits(level, stride)
  assert out.shape == (1, *SIZE, 2)
  inner = slice(32, -32)  # Beyond the last cells there is nothing.
  rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
  expected = np.stack([rows, columns], -1)[inner, inner]
  np.testing.assert_allclose(out[0, inner, inner], expected, atol=1e-3)


def test_scorers_begin_at_zero():
  feats = {
      level: np.ones((1, cells, cells, 4))
      for level, (cells, _, _) in LEVELS.items()
  }
  params = SkipHead(3).init(jax.random.key(0), feats, SIZE)['params']
  for level in LEVELS:
    assert not params[f'score_{level}']['kernel'].any()


def test_another_stride_is_refused():
  with pytest.raises(ValueError, match='stride=4: FCN has 32, 16 or 8'):
    logits('fc7', 4)
