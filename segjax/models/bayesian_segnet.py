"""Bayesian SegNet, https://arxiv.org/abs/1511.02680.

SegNet with dropout in its deep stages, which stays on at prediction: the mean
of the probabilities over random samples is the prediction, and their variance
measures how uncertain it is. This is the authors' Caffe network,
alexgkendall/SegNet-Tutorial, with dropout in the central encoders and decoders.
Weights of SegNet fit. Without dropout it is SegNet, and was checked as that.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers.unpooling import VGG16
from segjax.layers.unpooling import PoolingEncoder
from segjax.layers.unpooling import UnpoolingDecoder
from segjax.ops.targets import class_logits


class Model(nn.Module):
  """SegNet with dropout in training, and in evaluation with a random key."""

  num_classes: int
  depths: tuple[int, ...] = VGG16  # Convolutions of each stage.
  width: int = 64  # Channels of the first stage.
  dropout: float = 0.5
  samples: int = 50  # Number of samples in `predict`.

  @nn.compact
  def __call__(self, image, *, train=False):
    shape = self.depths, self.width, self.dropout
    x, pools = PoolingEncoder(*shape, name='backbone')(image, train)
    decoder = UnpoolingDecoder(self.num_classes, *shape, name='decoder')
    return {'logits': decoder(x, pools, train), 'aux': {}}


def predict(model, apply, batch, key):
  """Computes the mean and the variance of probabilities over dropout samples.

  All images use the same dropout masks, so the prediction for an image depends
  on the image and the key alone, not on the batch.

  Args:
    model: a `Model`.
    apply: `apply(batch, key)` returns the outputs with the dropout of one key.
    batch: dict with the `image` [B, H, W, C].
    key: random key from which the keys of the samples are made.

  Returns:
    A dict with `logits`, the logarithms of the mean probabilities, so that
    their softmax is the mean, and `variance`, both [B, H, W, K].
  """

  def probabilities(image, key):
    out = apply({'image': image[None]}, key)
    return jax.nn.softmax(class_logits(out['logits'][0]))

  def add(moments, numbered):
    """Adds a sample by Welford's update, which avoids cancellation."""
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
  # A probability may be 0 in all samples. Its logarithm, -inf, would make NaN
  # in an average.
  floor = jnp.finfo(jnp.float32).tiny
  return {
      'logits': jnp.log(jnp.maximum(mean, floor)),
      'variance': squares / model.samples,
      'aux': {},
  }
