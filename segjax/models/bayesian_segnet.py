"""Bayesian SegNet, https://arxiv.org/abs/1511.02680.

SegNet with dropout in its deep stages, which stays on when it predicts: the
mean over samples is the prediction, and their variance says how sure it is. As
the authors' Caffe network, alexgkendall/SegNet-Tutorial, with dropout in the
central encoders and decoders; weights of SegNet fit, and without dropout it is
SegNet, which was checked.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers.unpooling import VGG16
from segjax.layers.unpooling import PoolingEncoder
from segjax.layers.unpooling import UnpoolingDecoder
from segjax.ops.targets import class_logits


class Model(nn.Module):
  """SegNet, with dropout in training and wherever there is a key for it."""

  num_classes: int
  depths: tuple[int, ...] = VGG16  # Convolutions of each stage.
  width: int = 64  # Of the first.
  dropout: float = 0.5
  samples: int = 50  # Of `predict`.

  @nn.compact
  def __call__(self, image, *, train=False):
    shape = self.depths, self.width, self.dropout
    x, pools = PoolingEncoder(*shape, name='backbone')(image, train)
    decoder = UnpoolingDecoder(self.num_classes, *shape, name='decoder')
    return {'logits': decoder(x, pools, train), 'aux': {}}


def predict(model, apply, batch, key):
  """Returns the mean and the variance of probabilities over samples.

  All images are seen through the same samples, so that what is predicted for
  one depends on it and the key alone, not on the batch.

  Args:
    model: a `Model`.
    apply: `apply(batch, key)`, the outputs of one sample.
    batch: with the `image` [B, H, W, C].
    key: of the samples.

  Returns:
    `logits`, the logarithm of the mean, so that a softmax returns it, and
    `variance`, both [B, H, W, K].
  """

  def probabilities(image, key):
    out = apply({'image': image[None]}, key)
    return jax.nn.softmax(class_logits(out['logits'][0]))

  def add(moments, numbered):
    """Welford's update: the naive one subtracts large numbers."""
    (mean, squares), (n, key) = moments, numbered
    sample = jax.vmap(lambda image: probabilities(image, key))(batch['image'])
    delta = sample - mean
    mean += delta / n
    return (mean, squares + delta * (sample - mean)), None

  shape = jax.eval_shape(probabilities, batch['image'][0], key).shape
  zeros = jnp.zeros((len(batch['image']), *shape))
  numbers = jnp.arange(1, model.samples + 1, dtype=jnp.float32)
  (mean, squares), _ = jax.lax.scan(
      add,
      (zeros, zeros),
      (numbers, jax.random.split(key, model.samples)),
  )
  # Where no sample sees a class, a logarithm of 0 would make NaN of a mean.
  floor = jnp.finfo(jnp.float32).tiny
  return {
      'logits': jnp.log(jnp.maximum(mean, floor)),
      'variance': squares / model.samples,
      'aux': {},
  }
