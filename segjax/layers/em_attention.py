"""Attention to a few bases that expectation-maximisation finds."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import parallel


def _unit_columns(key, shape):
  """Draws K vectors of length 1, [C, K]."""
  return _unit(jax.random.normal(key, shape))


def _unit(x):
  """Scales vectors [..., C, K] to a length of 1 along C."""
  length = jnp.sqrt(jnp.square(x).sum(-2, keepdims=True))
  return x / jnp.maximum(length, 1e-12)


class EMAttention(nn.Module):
  """Features rebuilt from K bases, which EM steps fit to each image.

  EMANet, https://arxiv.org/abs/1907.13426: each step divides every pixel among
  the bases by a softmax (E), and makes each base the weighted mean of the
  pixels, scaled to length 1 (M). As in the authors' code, nothing here has a
  gradient, so that what computes the features learns nothing through them.

  All images begin with the same bases, `moving/bases` [C, K]. In training
  these follow the mean of the bases of the global batch.
  """

  num_bases: int = 64
  steps: int = 3
  momentum: float = 0.9  # Share of the moving bases that a batch leaves.
  # Scales the mean over the batch to length 1 before it is mixed in.
  unit_mean: bool = True

  @nn.compact
  def __call__(self, x, train):
    """Returns features like x [B, H, W, C], and the bases [B, C, K]."""
    x = jax.lax.stop_gradient(x)
    shape = x.shape[-1], self.num_bases
    moving = self.variable(
        'moving',
        'bases',
        lambda: _unit_columns(self.make_rng('params'), shape),
    )
    bases = jnp.broadcast_to(moving.value, (len(x), *shape))
    for _ in range(self.steps):
      scores = _product('bhwc,bck->bhwk', x, bases.astype(x.dtype))
      share = jax.nn.softmax(scores)
      total = _product('bhwc,bhwk->bck', x, share.astype(x.dtype))
      mass = share.sum((1, 2))[:, None]
      bases = _unit(total / jnp.maximum(mass, 1e-12))
    if train and not self.is_initializing():
      mean = parallel.pmean(bases.mean(0))
      if self.unit_mean:
        mean = _unit(mean)
      moving.value = self.momentum * moving.value + (1 - self.momentum) * mean
    bases, share = bases.astype(x.dtype), share.astype(x.dtype)
    return _product('bck,bhwk->bhwc', bases, share).astype(x.dtype), bases


def _product(subscripts, *operands):
  """Returns an einsum that adds up in float32."""
  return jnp.einsum(subscripts, *operands, preferred_element_type=jnp.float32)
