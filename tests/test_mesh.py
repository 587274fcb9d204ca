"""A mesh of any shape computes what one device does, the state split or not."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import experiment
from segjax import models
from segjax import train
from segjax.layers.conv import ConvTranspose
from segjax.layers.conv import conv
from segjax.ops import pool
from segjax.ops.pool import adaptive_avg_pool
from segjax.ops.resize import resize
from segjax.ops.unpool import max_pool
from segjax.ops.unpool import unpool
from segjax.ops.upsample_aligned import upsample_aligned
from segjax.parallel import AXIS
from segjax.parallel import ROWS
from segjax.parallel import Layout
from segjax.parallel import whole
from tests import tiny
from tests.equal_steps import CLASSES
from tests.equal_steps import Net
from tests.equal_steps import differences
from tests.equal_steps import make_batch
from tests.equal_steps import make_step
from tests.equal_steps import run

MESHES = [(8, 1), (4, 2), (2, 4), (1, 8)]
SIZE = 256  # So many rows split over eight devices down to 1/32.


@pytest.fixture(scope='module')
def stepped(random_variables):
  """A step, its first state, batches, and what one device makes of them."""
  variables = random_variables(Net(), (8, SIZE, SIZE, 3))
  step, state = make_step(Net(), variables, ema=0.9)
  batches = [make_batch(seed, size=SIZE) for seed in range(2)]
  return step, state, batches, run(step, state, batches)


@pytest.mark.parametrize('shard_state', [False, True])
@pytest.mark.parametrize('mesh', MESHES)
def test_a_mesh_does_what_one_device_does(stepped, mesh, shard_state):
  step, state, batches, expected = stepped
  results = run(step, state, batches, Layout('jit', mesh, shard_state))
  found = differences(results, expected)
  assert max(found.values()) < 1e-4, found


@pytest.mark.parametrize('mesh', MESHES)
def test_a_split_state_is_whole_nowhere(stepped, mesh):
  step, state, batches, _ = stepped
  layout = Layout('jit', mesh, shard_state=True)
  placed = layout.place(state)
  jax.tree.map(np.testing.assert_array_equal, whole(placed), state)
  after, _ = layout.compile_step(step, state)(placed, layout.shard(batches[0]))
  for tree in (after.params, after.ema, after.opt_state[0].trace):
    kernel = tree['conv']['conv']['kernel']  # [3, 3, 3, 8]
    parts = [shard.data.shape for shard in kernel.addressable_shards]
    assert parts == [(3, 3, 3, 1)] * 8
    assert tree['conv']['norm']['scale'].sharding.is_fully_replicated


class Layer(nn.Module):
  """A function of features as a module, to have parameters in it."""

  function: object

  @nn.compact
  def __call__(self, x):
    return self.function(x)


def pool_and_put_back(x):
  values, place = max_pool(x)
  return unpool(jnp.sin(values), place, x.shape[1:3])


def unpadded_beside_its_input(x):
  y = conv(4, padding=0, name='conv')(x)
  return jnp.concatenate([x[:, 1:-1, 1:-1], y], -1)


def mirrored(x):
  return jnp.pad(x, ((0, 0), (0, 7), (5, 0), (0, 0)), 'reflect')


LAYERS = {
    'convolution': conv(4, name='conv'),
    'strided': conv(4, stride=2, name='conv'),
    # Beyond the rows of the next device.
    'dilated': conv(4, dilation=40, name='conv'),
    'depthwise': conv(4, groups=4, name='conv'),
    'unpadded': unpadded_beside_its_input,
    'transposed': ConvTranspose(4, name='conv'),
    'transposed, overlapping': ConvTranspose(4, 4, padding=1, name='conv'),
    'max pooling': lambda x: pool.max_pool(x, (3, 3), (2, 2), ((1, 1),) * 2),
    'unpooling': pool_and_put_back,
    'pooling to a grid': lambda x: adaptive_avg_pool(x, (6, 6)),
    'resize': lambda x: resize(x, (40, 30)),
    'resize to corners': lambda x: resize(x, (70, 9), align_corners=True),
    'enlarge': lambda x: upsample_aligned(x, 8, (2030, 131)),
    'mirrored': lambda x: jnp.pad(
        x, [(0, 0), (0, 7), (5, 0), (0, 0)], 'reflect'
    ),
}


@pytest.mark.parametrize('layer', LAYERS)
def test_a_layer_sees_rows_of_other_devices(layer):
  layer = Layer(LAYERS[layer])
  x = np.float32(np.random.default_rng(0).normal(size=(2, SIZE, 17, 4)))
  variables = layer.init(jax.random.key(0), x)

  def both(variables, x):
    out, backward = jax.vjp(lambda x: layer.apply(variables, x), x)
    (gradient,) = backward(jnp.cos(out))
    return out, gradient

  def of_batch(variables, batch):
    out, gradient = both(variables, batch['image'])
    return {'out': out, 'gradient': gradient}

  expected = jax.jit(both)(variables, x)
  layout = Layout('jit', (1, 8))
  found = layout.compile_forward(of_batch)(variables, {'image': x})
  for name, values in zip(('out', 'gradient'), expected, strict=True):
    np.testing.assert_allclose(found[name], values, atol=2e-5)


@pytest.mark.parametrize('kernel', [1, 3])
@pytest.mark.parametrize('dilation', [1, 2, 40])
def test_convolutions_exchange_rows_and_gather_none(kernel, dilation):
  layer = conv(64, kernel, dilation=dilation, name='conv')
  x = np.zeros((1, SIZE, 64, 64), np.float32)

  def gradients(variables, x):
    return jax.grad(lambda *args: layer.apply(*args).sum(), (0, 1))(
        variables, x
    )

  mesh = jax.make_mesh((1, 8), (AXIS, ROWS), (jax.sharding.AxisType.Auto,) * 2)
  sharding = jax.NamedSharding(mesh, jax.P(AXIS, ROWS))
  with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
    compiled = jax.jit(
        gradients, in_shardings=(None, sharding), out_shardings=(None, sharding)
    ).lower(layer.init(jax.random.key(0), x), x)
  program = compiled.compile().as_text()
  assert 'all-gather' not in program
  assert 'all-to-all' not in program


TINY = dict(backbone='resnet/tiny(output_stride=8)', features=16, dropout=0.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'fields'),
    [
        ('deeplabv3', dict(**TINY, rates=(1, 6))),
        ('pspnet', TINY),
        ('segnet_basic', dict(features=8)),
        ('unet', dict(width=2, dropout=0.0)),
    ],
)
def test_a_system_does_what_it_does_on_one_device(
    name, fields, random_variables
):
  system = models.create(name, CLASSES, **fields)
  found = []
  for seed in range(3):
    batch = make_batch(seed, size=128)
    variables = random_variables(system, batch['image'].shape)
    step, state = make_step(system, variables)
    expected = run(step, state, [batch])
    layout = Layout('jit', (2, 4), shard_state=True)
    found.append(differences(run(step, state, [batch], layout), expected))
  # A value so close to 0 that rounding switches its ReLU moves gradients by
  # 0.003, on one device as on eight; not in all images.
  largest = sorted(max(one.values()) for one in found)
  assert largest[0] < 1e-4, found
  assert largest[-1] < 1e-2, found


@pytest.mark.parametrize('rows', [64, 33])
def test_prediction_splits_images_by_rows_and_keeps_their_order(rows):
  images = np.random.default_rng(0).normal(size=(4, rows, 5, 3))
  images = np.float32(images)
  variables = Net().init(jax.random.key(0), images)
  layout = Layout('jit', (4, 2))
  assert layout.groups(local=True) == 4

  def forward(variables, batch):
    return {'logits': Net().apply(variables, batch['image'])['logits']}

  batch = {'image': images}
  found = layout.compile_forward(forward)(variables, batch)
  expected = forward(variables, batch)
  np.testing.assert_allclose(found['logits'], expected['logits'], atol=1e-5)


def test_prediction_takes_the_devices_that_there_are(monkeypatch):
  monkeypatch.setattr(jax, 'local_devices', lambda: jax.devices()[:6])
  monkeypatch.setattr(jax, 'local_device_count', lambda: 6)
  layout = Layout('jit', (16, 4))  # Of the machine where it was trained.
  assert layout.groups(local=True) == 3
  images = np.ones((3, 64, 5, 3), np.float32)
  double = layout.compile_forward(lambda _, batch: {'x': 2 * batch['image']})
  parts = double({}, {'image': images})['x'].addressable_shards
  assert [part.data.shape for part in parts] == [(1, 32, 5, 3)] * 6


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (
            ('jit', (3, 2)),
            r'mesh=\(3, 2\) is a mesh of 6 .* 8: \(-1, 2\)',
        ),
        (('pmap', (4, 1)), r'mesh=\(4, 1\) is a mesh of 4 devices, .* 8:'),
        (('jit', (-1, 3)), r'mesh=\(-1, 3\) splits .* 3 .* a divisor of'),
        (('jit', (0, 8)), r'mesh=\(0, 8\) must be two positive'),
        (('jit', (8, -1)), r'mesh=\(8, -1\) must be two positive'),
        (('jit', (2, 2, 2)), r'mesh=\(2, 2, 2\) must be two positive'),
        (('jit', (1.5, 2)), r'mesh=\(1.5, 2\) must be two positive'),
        (('pmap', (4, 2)), r'mesh=\(4, 2\) wants --config.parallel=jit'),
        (('pmap', (-1, 1), True), 'shard_state wants --config.parallel=jit'),
        (('pjit',), "parallel='pjit' is not one of"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(given, message):
  with pytest.raises(ValueError, match=f'config.{message}'):
    Layout(*given).check(batch_size=8)


def test_a_batch_is_divided_over_groups():
  Layout('jit', (-1, 4)).check(batch_size=2)
  with pytest.raises(ValueError, match='batch_size=3 .* 2 groups of 4 .* of 2'):
    Layout('jit', (2, 4)).check(batch_size=3)


def test_images_that_leave_rows_over_are_refused():
  layout = Layout('jit', (2, 4))
  layout.check_height(256)
  Layout('jit', (8, 1)).check_height(33)
  with pytest.raises(ValueError, match='of 192 rows.* a multiple of 128 rows'):
    layout.check_height(192)


def memory(**changes):
  """Bytes on a device in a step on images of 256 x 256."""
  config = tiny.get_config()
  config.preprocess.train = 'random_crop(256)|normalize'
  config.update(parallel='jit', **changes)
  return train.memory(config)


def test_images_split_by_rows_take_less_memory(monkeypatch):
  monkeypatch.setattr(experiment, 'model', lambda *_: Net())
  one, four = (
      sum(memory(mesh=(-1, rows), batch_size=8 // rows).values())
      for rows in (1, 4)
  )
  assert four < 0.4 * one
