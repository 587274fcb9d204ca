from flax import linen as nn
import jax
import jax.numpy as jnp
import pytest

from segjax import experiment
from segjax.layers.conv import ConvNormAct
from segjax.tools import scaling
from tests import tiny

CLASSES = 8


def test_exchanges_of_known_sizes_are_counted():
  def exchange(x):
    return (
        jax.lax.psum(x, 'd'),
        jax.lax.all_gather(x[0], 'd'),
        jax.lax.psum_scatter(x.T, 'd', tiled=True),
        jax.lax.ppermute(x[:2], 'd', [(i, (i + 1) % 8) for i in range(8)]),
    )

  program = jax.pmap(exchange, 'd').lower(jnp.zeros((8, 3, 16))).compile()
  sizes, times = scaling.exchanges(program.as_text(), 8)
  assert times == 4
  assert sizes == {
      'all-reduce': 4 * 3 * 16,
      'all-gather': 4 * 8 * 16,
      'reduce-scatter': 4 * 16 * 3,
      'collective-permute': 4 * 2 * 16,
  }
  total = sum(sizes.values()) + sizes['all-reduce']
  assert scaling.sent(sizes) == total


def test_exchange_beside_other_work_counts_once():
  program = """
  %a = (f32[2,64]{1,0}, bf16[3]{0}, /*index=2*/ pred[]) all-reduce-start(%x, %y)
  %b = (f32[2,64]{1,0}, bf16[3]{0}, /*index=2*/ pred[]) all-reduce-done(%a)
  %c = f32[9]{0} add(%d, %e), metadata={op_name="all-reduce(f32[9])"}
  """
  sizes, times = scaling.exchanges(program, 8)
  assert (sizes, times) == ({'all-reduce': 4 * 2 * 64 + 2 * 3 + 1}, 1)


class Net(nn.Module):

  @nn.compact
  def __call__(self, image, *, train=False):
    x = ConvNormAct(8, name='conv')(image, train)
    return {'logits': nn.Dense(CLASSES, name='classifier')(x), 'aux': {}}


@pytest.mark.parametrize('mode', ['pmap', 'jit'])
def test_exchange_does_not_grow_with_the_image(monkeypatch, mode):
  monkeypatch.setattr(experiment, 'model', lambda config, num_classes: Net())
  measured = []
  for height in (32, 64):
    config = tiny.get_config()
    config.preprocess.train = f'random_crop({height}, 48)|normalize'
    config.parallel = mode
    measured.append(scaling.measure(config))
  small, large = measured

  gradients = 3 * 3 * 3 * 8 + 2 * 8 + (8 + 1) * CLASSES
  kept = summed = 2 * 8  # Mean and variance; summed forward and backward.
  scalars = 2  # The loss, and the pixels that count.
  assert small.exchanged == large.exchanged
  found = large.exchanged['all-reduce']
  assert 4 * gradients < found <= 4 * (gradients + kept + 2 * summed + scalars)
  assert large.image == (2 * small.image[0], small.image[1])
  assert large.image_bytes == 2 * small.image_bytes == 64 * 48 * (3 * 4 + 1)
  assert 1.9 < large.flops / small.flops < 2.1
  # Without borders: two convolutions, three products, of all pixels.
  least = 2 * 64 * 48 * (2 * 27 * 8 + 3 * 8 * CLASSES)
  assert least < large.flops
  assert not large.loops


def test_rows_are_what_follows_from_the_step():
  step = scaling.Step(
      image=(512, 512),
      image_bytes=3_407_872,
      flops=400e9,
      loops=True,
      exchanged={'all-reduce': 100_000_000, 'all-gather': 50_000_000},
      times=3,
  )
  rows = scaling.rows(tiny.get_config(), step, share=0.4, per_core=100.0)
  # On v5e, 78.8 TFLOP/s of 197 compute 197 images/s, and 250 MB take 1.25 ms.
  assert rows[0] == {
      'system': 'deeplabv3 resnet/tiny(output_stride=16)',
      'image': '512 x 512',
      'GFLOP an image': '> 400',
      'MB exchanged': '150',
      'times': '3',
      'chip': 'v5e',
      'images/s a chip': '197',
      'batch a chip': '0.25',
      'images/s a host': '1576',
      'GB/s a host': '5.4',
      'cores a host': '16',
  }
  assert [row['batch a chip'] for row in rows] == ['0.25', '0.19', '0.62']
