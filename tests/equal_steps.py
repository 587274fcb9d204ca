"""A step of training, on one device or on several: the numbers are the same."""

from flax import linen as nn
import jax
import numpy as np
import optax

from segjax import steps
from segjax.layers.conv import ConvNormAct
from tests.systems import system_of

CLASSES = 4
SIZE = 33


class Net(nn.Module):

  @nn.compact
  def __call__(self, image, *, train=False):
    x = ConvNormAct(8, name='conv')(image, train)
    return {'logits': nn.Dense(CLASSES, name='classifier')(x), 'aux': {}}


def make_batch(seed, count=8, size=SIZE):
  """Images of which more and more is ignored, and all of the last one."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, CLASSES, (count, size, size)).astype(np.uint8)
  for i, label in enumerate(labels, 1):
    label[: size * i // count] = 255
  # Images differ in brightness and contrast, and so do their statistics.
  image = rng.normal(size=(count, size, size, 3))
  image *= rng.uniform(0.5, 2, (count, 1, 1, 3))
  image += rng.normal(size=(count, 1, 1, 3))
  return {'image': image.astype(np.float32), 'label': labels}


def make_step(model, variables, **options):
  """A step of SGD, and its first state."""
  # After one step, the trace of the momentum is the gradient.
  tx = optax.sgd(0.02, momentum=0.9)
  step = steps.make_train_step(
      system_of(model, CLASSES, aux=0.4),
      tx,
      seed=0,
      rates=lambda step, opt_state: {},
      **options,
  )
  ema = 'ema' in options
  return step, jax.device_get(steps.init_state(variables, tx, ema=ema))


def run(step, state, batches, layout=None):
  """The state and scalars after each batch; on one device without a layout."""
  if layout:
    step, state = layout.compile_step(step, state), layout.place(state)
  else:
    step = jax.jit(step)
  results = []
  for batch in batches:
    state, scalars = step(state, layout.shard(batch) if layout else batch)
    # Copies: the state is donated to the next step.
    results.append(jax.tree.map(np.array, (state, scalars)))
  return results


def differences(tree, expected):
  """{path: largest difference, relative to the largest value}."""
  pairs = jax.tree.map(
      lambda x, y: np.abs(x - y).max() / max(np.abs(y).max(), 1e-3),
      tree,
      expected,
  )
  return {
      jax.tree_util.keystr(path): float(difference)
      for path, difference in jax.tree.leaves_with_path(pairs)
  }
