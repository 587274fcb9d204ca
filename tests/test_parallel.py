"""One device and eight compute the same, whatever each of the eight sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax import parallel
from segjax.losses.cross_entropy import cross_entropy
from segjax.losses.ohem_cross_entropy import ohem_cross_entropy
from segjax.runtime import compile_cache
from tests.equal_steps import CLASSES
from tests.equal_steps import SIZE
from tests.equal_steps import Net
from tests.equal_steps import differences
from tests.equal_steps import make_batch
from tests.equal_steps import make_step
from tests.equal_steps import run

LAYOUTS = {mode: parallel.Layout(mode) for mode in parallel.MODES}
DEEPLAB = models.create(
    'deeplabv3',
    CLASSES,
    backbone='resnet/tiny(output_stride=16)',
    rates=(1, 2),
    features=16,
    dropout=0.0,
)


@pytest.fixture(scope='module')
def results(random_variables):
  step, state = make_step(
      DEEPLAB, random_variables(DEEPLAB, (8, SIZE, SIZE, 3))
  )
  batches = [make_batch(seed) for seed in range(3)]
  return {
      name: run(step, state, batches, layout)
      for name, layout in {'one': None, **LAYOUTS}.items()
  }


@pytest.mark.parametrize('count', [1, 3], ids=['one step', 'three steps'])
@pytest.mark.parametrize('mode', parallel.MODES)
def test_eight_devices_do_what_one_does(results, mode, count):
  # Parameters, gradients, batch statistics, and what the step reports. Rounding
  # gives 2e-5; a norm or a loss that sees only its own device gives 1.
  found = differences(results[mode][count - 1], results['one'][count - 1])
  assert max(found.values()) < 2e-4, found


@pytest.mark.parametrize('name', ['one', *parallel.MODES])
def test_three_steps_change_all_parameters_and_statistics(results, name):
  (before, _), _, (after, _) = results[name]
  for part in ('params', 'mutable'):
    same = jax.tree.map(
        lambda x, y: (x == y).all(), getattr(before, part), getattr(after, part)
    )
    assert not any(jax.tree.leaves(same))


@pytest.mark.parametrize('devices', [1, 8])
@pytest.mark.parametrize('mode', parallel.MODES)
def test_a_step_is_compiled_once(mode, devices, random_variables, monkeypatch):
  some = jax.devices()[:devices]
  monkeypatch.setattr(jax, 'devices', lambda: some)
  monkeypatch.setattr(jax, 'local_devices', lambda: some)
  monkeypatch.setattr(parallel, 'count', lambda local=False: devices)
  layout, batch = LAYOUTS[mode], make_batch(0)
  step, state = make_step(Net(), random_variables(Net(), batch['image'].shape))
  step, state = layout.compile_step(step, state), layout.place(state)
  before, programs = compile_cache.WORK.programs, []
  for _ in range(3):
    state, _ = step(state, layout.shard(batch))
    programs.append(compile_cache.WORK.programs)
  assert len(state.step.sharding.device_set) == devices
  assert before < programs[0] == programs[2]


@pytest.mark.parametrize('mode', parallel.MODES)
def test_a_batch_in_parts_is_divided_the_same_way(mode, random_variables):
  batch = make_batch(0, count=16)
  variables = random_variables(Net(), batch['image'].shape)
  step, state = make_step(Net(), variables, accumulate=2)
  ((one, scalars),) = run(step, state, [batch])
  ((many, same_scalars),) = run(step, state, [batch], LAYOUTS[mode])
  found = differences((many, same_scalars), (one, scalars))
  assert max(found.values()) < 1e-4, found


@pytest.mark.parametrize('mode', parallel.MODES)
def test_the_state_is_an_ordinary_tree(results, mode):
  shapes = [
      jax.tree.map(np.shape, results[name][0][0]) for name in ('one', mode)
  ]
  assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    'loss',
    [
        cross_entropy,
        lambda *args: ohem_cross_entropy(*args, threshold=0.0, min_kept=50),
        lambda *args: ohem_cross_entropy(*args, threshold=0.4, min_kept=5),
    ],
    ids=['cross entropy', 'ohem by count', 'ohem by threshold'],
)
def test_a_loss_on_eight_devices_is_that_of_the_whole_batch(loss):
  labels = make_batch(0)['label']
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(*labels.shape, CLASSES)).astype(np.float32)
  # Hard images and easy ones: what is hard is a matter of the whole batch.
  logits *= np.linspace(0.1, 3, 8, dtype=np.float32)[:, None, None, None]
  value, gradient = jax.value_and_grad(loss)(logits, labels)

  values, gradients = jax.pmap(jax.value_and_grad(loss), parallel.AXIS)(
      logits[:, None], labels[:, None]
  )
  np.testing.assert_allclose(values.mean(), value, rtol=1e-6)
  np.testing.assert_allclose(gradients[:, 0] / 8, gradient, atol=1e-8)

  batch = LAYOUTS['jit'].shard({'logits': logits, 'labels': labels})
  value_too, gradient_too = jax.jit(jax.value_and_grad(loss))(
      batch['logits'], batch['labels']
  )
  np.testing.assert_allclose(value_too, value, rtol=1e-6)
  np.testing.assert_allclose(gradient_too, gradient, atol=1e-8)


@pytest.mark.parametrize('mode', parallel.MODES)
def test_a_forward_pass_returns_the_images_in_their_order(mode):
  images = np.random.default_rng(0).normal(size=(16, 4, 5, 3))
  images = images.astype(np.float32)

  def forward(variables, batch):
    return {'sum': batch['image'].sum(-1) * variables['scale']}

  apply = LAYOUTS[mode].compile_forward(forward)
  out = apply({'scale': jnp.float32(2.0)}, {'image': images})
  np.testing.assert_allclose(out['sum'], 2 * images.sum(-1), rtol=1e-5)


@pytest.mark.parametrize('mode', parallel.MODES)
def test_every_device_gets_its_share_of_a_batch(mode):
  batch = {
      'image': np.arange(16.0).reshape(16, 1, 1, 1),
      'categories': np.arange(16),
  }
  sharded = LAYOUTS[mode].shard(batch)
  if mode == 'pmap':
    assert sharded['image'].shape == (8, 2, 1, 1, 1)
    np.testing.assert_array_equal(sharded['categories'][3], [6, 7])
  else:
    assert sharded['image'].shape == (16, 1, 1, 1)
    shards = sharded['categories'].addressable_shards
    assert [list(s.data) for s in shards] == [
        [i, i + 1] for i in range(0, 16, 2)
    ]


@pytest.mark.parametrize('mode', parallel.MODES)
def test_the_shapes_of_a_batch_are_known_before_it(mode):
  batch = {
      'image': np.zeros((16, 2, 2, 3), np.float32),
      'label': np.zeros((16, 2, 2), np.uint8),
  }
  shapes = LAYOUTS[mode].shard_shapes(
      jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)
  )
  sharded = LAYOUTS[mode].shard(batch)
  for name, shape in shapes.items():
    assert (shape.shape, shape.dtype) == (
        sharded[name].shape,
        sharded[name].dtype,
    )
    if mode == 'jit':
      assert shape.sharding == sharded[name].sharding


def test_the_axis_is_known_where_it_is_bound():
  assert parallel.axis() is None
  assert jax.jit(lambda x: x + (parallel.axis() is None))(0) == 1
  inside = jax.pmap(lambda x: x + (parallel.axis() == 'batch'), parallel.AXIS)
  np.testing.assert_array_equal(inside(np.zeros(8)), 1)


def test_random_keys_differ_between_mapped_devices():
  def draw(key, _):
    return jax.random.uniform(parallel.fold_in_device(key))

  key = jax.random.key(0)
  mapped = jax.pmap(draw, parallel.AXIS, in_axes=(None, 0))
  assert len(set(np.asarray(mapped(key, np.zeros(8))))) == 8
  assert draw(key, 0) == jax.random.uniform(key)


@pytest.mark.parametrize('batch_size', [8, 64])
def test_a_batch_that_splits_evenly_is_accepted(batch_size):
  parallel.Layout().check(batch_size)


@pytest.mark.parametrize('batch_size', [-8, 0, 4, 12])
def test_a_batch_that_does_not_split_is_refused(batch_size):
  message = f'config.batch_size={batch_size} .* 8 devices: .* multiple of 8'
  with pytest.raises(ValueError, match=message):
    parallel.Layout().check(batch_size)
