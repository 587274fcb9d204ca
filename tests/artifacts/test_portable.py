"""Programs that are rewritten compute the same, with fewer primitives."""

from flax import linen as nn
import jax
from jax import lax
from jax.extend import core
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.artifacts import portable
from segjax.artifacts.portable import indexing
from segjax.kernels.cond import cond
from segjax.layers import conv
from segjax.layers import norm
from segjax.layers import upsample
from segjax.ops.pool import max_pool

SHAPE = (1, 7, 9, 8)


def rewritten(function, x):
  """Checks a function that is rewritten; returns the new program."""
  program, results = portable.rewrite(
      function, jax.ShapeDtypeStruct(x.shape, x.dtype)
  )
  found = jax.jit(core.jaxpr_as_fun(program))(x)
  wanted = jax.jit(function)(x)
  assert jax.tree.structure(results) == jax.tree.structure(wanted)
  for y, z in zip(found, jax.tree.leaves(wanted), strict=True):
    assert y.dtype == z.dtype
    np.testing.assert_allclose(y, z, rtol=1e-5, atol=1e-5)
  return program


def counted(function, x):
  """The same, and returns how often each primitive stands in the program."""
  return portable.count(rewritten(function, x))


@pytest.fixture
def image():
  values = np.random.default_rng(0).normal(size=SHAPE)
  return jnp.asarray(values, jnp.float32)


def applied(layer, random_variables):
  """Returns the function of a layer with random weights, in evaluation."""

  class Net(nn.Module):

    @nn.compact
    def __call__(self, image):
      return layer()(image, False)

  net = Net()
  variables = random_variables(net, SHAPE)
  return lambda x: net.apply(variables, x)


@pytest.mark.parametrize(
    'layer',
    [
        lambda: conv.ConvNormAct(6, bias=True),
        lambda: conv.ConvNormAct(8, groups=8, dilation=2),
        lambda: conv.ConvNormAct(6, stride=2, norm=norm.slim_batch_norm),
        lambda: conv.ActivatedConv(6, act=None),
        lambda: conv.SeparableConvNormAct(6),
        lambda: upsample.UpsampleNormAct('transposed', 6, kernel=4, padding=1),
    ],
    ids=['bias', 'depthwise', 'strided', 'activated', 'separable', 'up'],
)
def test_norms_go_into_the_convolutions_before_them(
    layer, random_variables, image
):
  counts = counted(applied(layer, random_variables), image)
  # A bias is all that remains of a norm.
  assert counts['add'] == counts['conv_general_dilated']
  assert not counts.keys() & {'sub', 'mul', 'rsqrt', 'div'}


def test_norms_go_into_matrix_products(random_variables, image):
  class Net(nn.Module):

    @nn.compact
    def __call__(self, image):
      return norm.BatchNorm(False)(nn.Dense(5)(image))

  variables = random_variables(Net(), SHAPE)
  counts = counted(lambda x: Net().apply(variables, x), image)
  assert counts.keys() == {'dot_general', 'add'}


def test_a_convolution_that_is_read_twice_is_computed_once(image):
  kernel = np.ones((3, 3, 8, 4), np.float32)

  def function(x):
    y = lax.conv_general_dilated(
        *(x, kernel, (1, 1), 'SAME'), dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    return y, y * 2 + 1

  counts = counted(function, image)
  assert counts['conv_general_dilated'] == 1
  assert counts['mul'] == 1


def test_norms_before_convolutions_stay(random_variables, image):
  counts = counted(
      applied(lambda: conv.NormActConv(6), random_variables), image
  )
  assert counts['conv_general_dilated'] == counts['max'] == 1
  assert counts['add'] == 1


def test_calls_branches_and_barriers_are_put_in_line(image):
  @jax.custom_vjp
  def double(x):
    return jax.jit(lambda x: 2 * lax.optimization_barrier(x))(x)

  double.defvjp(lambda x: (double(x), None), lambda _, dy: (2 * dy,))

  def function(x):
    y = cond(jnp.array(True), lambda x: x + 1, lambda x: x - 1, double(x))
    return {'y': y, 'pooled': max_pool(jax.nn.relu6(y), (2, 2), (2, 2))}

  counts = counted(function, image)
  allowed = {'mul', 'add', 'select_n', 'sub', 'max', 'min', 'clamp'}
  assert counts.keys() <= allowed | {'reduce_window_max', 'broadcast_in_dim'}


def test_loops_are_written_out(image):
  def function(x):
    y = lax.fori_loop(0, 3, lambda i, y: y * 0.5 + i, x)
    last, rows = lax.scan(
        lambda total, row: (total + row, total), x[0, 0], x[0, 1:], reverse=True
    )
    return y, last, rows

  assert 'scan' not in counted(function, image)


@pytest.mark.parametrize(
    'function',
    [
        lambda x: x[0, [1, 6, 2], 1:3],
        lambda x: x[:, jnp.array([[1, 2], [0, 3]])],
        lambda x: x[:, :, jnp.argmax(x[0, :, 0, 0])],
        lambda x: jnp.take_along_axis(x, jnp.argsort(x, axis=2)[:, :, :2], 2),
        lambda x: x.at[0, 1, :, jnp.argmax(x[0, 0, 0])].get(
            mode='fill', fill_value=7
        ),
        lambda x: jnp.take(
            x, (x[0, 0, :3, 0] * 9).astype(int), axis=1, mode='fill'
        ),
        lambda x: lax.dynamic_slice(
            x, (0, jnp.argmax(x[0, :, 0, 0]), 2, 0), (1, 3, 4, 8)
        ),
        lambda x: x.at[0, jnp.argmax(x[0, :, 0, 0]), 2:4].set(3.0),
        lambda x: jnp.zeros(9).at[(x[0, 0, :, 0] * 9).astype(int)].add(1.0),
    ],
    ids=[
        *('columns', 'table', 'one', 'sorted', 'fill', 'outside', 'slice'),
        *('set', 'add'),
    ],
)
def test_gathers_and_scatters_are_of_rows(function, image):
  for equation in rewritten(function, image).jaxpr.eqns:
    if equation.primitive.name in ('gather', *indexing.SCATTERS):
      table, indices = (v.aval.shape for v in equation.invars[:2])
      assert len(indices) == 2
      assert indices[1] == 1
      assert len(table) <= 2


@pytest.mark.parametrize(
    'function',
    [
        lambda x: jnp.cumprod(x, axis=2),
        lambda x: jnp.cumsum(x[..., ::-1], axis=3),
        lambda x: jnp.stack([x, 2 * x], axis=1),
        lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 0), (0, 0)), mode='edge'),
        lambda x: lax.pad(
            x, -1.0, [(0, 0, 0), (1, 0, 2), (0, -2, 1), (0, 0, 0)]
        ),
        lambda x: jnp.where(x[:, None, None] > 0, x[:, None, None], 5.0),
    ],
    ids=['cumprod', 'cumsum', 'stack', 'edge', 'pad', 'select'],
)
def test_other_primitives_compute_the_same(function, image):
  rewritten(function, image)


def test_random_numbers_of_a_key_become_constants(image):
  def function(x):
    key = jax.random.key(3)
    return x * jax.random.bernoulli(key, 0.5, x.shape)

  assert counted(function, image) == {'mul': 1}


def test_what_nothing_reads_is_left_out(image):
  def function(x):
    jnp.sin(x)
    return x + 1

  assert counted(function, image) == {'add': 1}


def test_maxima_over_the_border_need_no_infinity(image):
  def function(x):
    return max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))

  program, _ = portable.rewrite(
      function, jax.ShapeDtypeStruct(image.shape, image.dtype), finite=True
  )
  (y,) = jax.jit(core.jaxpr_as_fun(program))(image)
  np.testing.assert_array_equal(y, function(image))
  (pool,) = (
      e for e in program.jaxpr.eqns if e.primitive.name == 'reduce_window_max'
  )
  assert not np.any(pool.params['padding'])


def test_choices_are_among_few_axes_and_no_short_integers(image):
  def function(x):
    place = jnp.where(x > 0, jnp.uint8(3), (x < -1).astype(jnp.uint8))
    here = place[..., None, None] == jnp.arange(4, dtype=jnp.uint8)
    return place, jnp.where(here, x[..., None, None], 0.0)

  program = rewritten(function, image)
  selected = [
      e.outvars[0].aval
      for e in program.jaxpr.eqns
      if e.primitive.name == 'select_n'
  ]
  assert [x.dtype for x in selected] == [np.int32, np.float32]
  assert max(x.ndim for x in selected) <= 4
  compared = [
      e.outvars[0].aval.ndim
      for e in program.jaxpr.eqns
      if e.primitive.name == 'eq'
  ]
  assert compared == [1]
