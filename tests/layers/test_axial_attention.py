import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.layers.axial_attention import AxialAttention
from segjax.layers.axial_attention import Block
from segjax.layers.axial_attention import HeightAndWidth

HEADS, KEYS, VALUES, SPAN = 2, 4, 6, 3


@pytest.fixture(name='attention')
def drawn_attention():
  """An attention with a small span, its variables and five positions."""
  layer = AxialAttention(KEYS, VALUES, HEADS, SPAN)
  x = jax.random.normal(jax.random.key(0), (1, 1, 5, 3))
  draw = np.random.default_rng(0)
  variables = jax.tree.map(
      lambda value: value + draw.uniform(0.1, 0.5, value.shape),
      layer.init(jax.random.key(1), x, False),
  )
  return layer, variables, x


def normalised(variables, name, x):
  """A batch norm with the running statistics."""
  of, stats = variables['params'][name], variables['batch_stats'][name]
  x = (x - stats['mean']) / np.sqrt(stats['var'] + 1e-5)
  return x * of['scale'] + of['bias']


def test_attention_is_the_formula_of_the_paper(attention):
  layer, variables, x = attention
  params = variables['params']
  qkv = normalised(variables, 'qkv_norm', x[0, 0] @ params['qkv']['kernel'])
  q, k, v = (
      part.reshape(5, HEADS, -1) for part in np.split(qkv, (KEYS, 2 * KEYS), -1)
  )
  content = np.zeros((5, HEADS, VALUES // HEADS))
  position = np.zeros_like(content)
  for i, h in np.ndindex(5, HEADS):
    rows = [
        int(np.clip(j - i, 1 - SPAN, SPAN - 1)) + SPAN - 1 for j in range(5)
    ]
    to_q, to_k, to_v = (
        params[f'{name}_position'][np.array(rows)]
        for name in ('query', 'key', 'value')
    )
    terms = np.zeros((5, 3 * HEADS))
    terms[:, h] = k[:, h] @ q[i, h]
    terms[:, HEADS + h] = to_q @ q[i, h]
    terms[:, 2 * HEADS + h] = (to_k * k[:, h]).sum(-1)
    terms = normalised(variables, 'similarity_norm', terms)[:, h::HEADS]
    weights = jax.nn.softmax(terms.sum(-1))
    content[i, h], position[i, h] = weights @ v[:, h], weights @ to_v
  both = np.concatenate([y.reshape(5, VALUES) for y in (content, position)], -1)
  content, position = np.split(
      normalised(variables, 'output_norm', both), 2, -1
  )
  np.testing.assert_allclose(
      layer.apply(variables, x, False)[0, 0],
      content + position,
      rtol=1e-4,
      atol=1e-5,
  )


def test_lines_do_not_see_each_other(attention):
  layer, variables, x = attention
  lines = jnp.concatenate([x, x[:, :, ::-1] + 1], 1)
  np.testing.assert_allclose(
      layer.apply(variables, lines, False)[:, :1],
      layer.apply(variables, x, False),
      atol=1e-5,
  )


def test_channels_that_do_not_divide_into_heads_are_refused():
  with pytest.raises(ValueError, match='6 channels of keys .* 4 heads'):
    jax.eval_shape(
        functools.partial(AxialAttention(6, 8, heads=4).init, train=False),
        jax.random.key(0),
        jnp.zeros((1, 1, 2, 3)),
    )


@pytest.mark.parametrize('average', [False, True])
@pytest.mark.parametrize('side', [6, 7])
def test_a_stride_halves_sides_and_rounds_up(average, side):
  layer = HeightAndWidth(8, 8, stride=2, average=average)
  x = jnp.zeros((1, side, side + 2, 3))
  out, _ = jax.eval_shape(
      lambda: layer.init_with_output(jax.random.key(0), x, True)
  )
  assert out.shape == (1, (side + 1) // 2, (side + 3) // 2, 8)


@pytest.mark.parametrize('kind', ['axial', 'bottleneck', 'basic'])
def test_a_new_block_returns_what_it_reads_activated(kind):
  layer = Block(kind, 8, 8, 8, 8, act=nn.gelu)
  x = jax.random.normal(jax.random.key(0), (1, 4, 5, 8))
  out, _ = layer.init_with_output(jax.random.key(1), x, False)
  np.testing.assert_allclose(out, nn.gelu(x), atol=1e-6)


def test_an_unknown_kind_of_block_is_refused():
  with pytest.raises(ValueError, match="'wide'. Known: axial, bottleneck"):
    Block('wide', 8, 8).init(jax.random.key(0), jnp.zeros((1, 4, 4, 8)), False)
