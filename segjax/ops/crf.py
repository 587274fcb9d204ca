"""Fully connected CRFs by mean field, https://arxiv.org/abs/1210.5644.

The energy of a labelling is the sum of a unary cost of each pixel's label and,
for each pair of pixels i and j with labels l and m, of mu(l, m) k(i, j): mu is
the compatibility of labels and k a kernel, Gaussian in positions or bilateral,
in positions and colours. As in the authors' code, and unlike the paper, a pixel
also forms a pair with itself, and kernels are normalised.
"""

from collections.abc import Callable
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops import gaussian
from segjax.ops import permutohedral

NORMALIZATIONS = ('symmetric', 'before', 'after', 'none')
# Number of pixels up to which the exact filter is about as fast as a lattice.
SMALL = 64 * 64


def mean_field(
    unary: jax.Array,
    message: Callable[[jax.Array], jax.Array],
    iterations: int,
) -> jax.Array:
  """Runs mean-field inference with parallel updates; returns [H, W, K] logits.

  Args:
    unary: [H, W, K] logits, the negated unary costs.
    message: function from probabilities [H, W, K] to the term [H, W, K] that is
      added to `unary`.
    iterations: number of updates; 0 returns `unary`.
  """

  def update(logits, _):
    return unary + message(jax.nn.softmax(logits)), None

  return jax.lax.scan(update, unary, length=iterations)[0]


def message(
    kernels: Sequence[
        tuple[float | jax.Array, Callable[[jax.Array], jax.Array]]
    ],
) -> Callable[[jax.Array], jax.Array]:
  """Returns the message function of a sum of kernels, for `mean_field`.

  Args:
    kernels: [(compatibility, kernel), ...]. A kernel is a filter, see
      `ops/gaussian.py`. The compatibility is the cost of a pair of labels: a
      scalar w is the Potts model, which costs w where labels differ; [K] is the
      cost of equal labels; [K, K] is the cost of any two labels, and only its
      symmetric part counts.
  """

  def total(q):
    return sum(_agreement(compat, kernel(q)) for compat, kernel in kernels)

  return total


def _agreement(compat, x):
  """Returns the negated pairwise costs [H, W, K], up to a constant.

  Args:
    compat: compatibility, see `message`.
    x: [H, W, K], filtered probabilities.
  """
  compat = jnp.asarray(compat, x.dtype)
  if compat.ndim == 0:
    # The cost w [l != m] equals w - w [l == m], and w is a constant.
    return compat * x
  if compat.ndim == 1:
    return -compat * x
  symmetric = (compat + compat.T) / 2
  return -jnp.dot(x, symmetric, precision=jax.lax.Precision.HIGHEST)


def normalized(
    kernel: Callable[[jax.Array], jax.Array], how: str, valid: jax.Array
) -> Callable[[jax.Array], jax.Array]:
  """Returns a kernel that is normalised by its row sums D over valid pixels.

  Args:
    kernel: a filter.
    how: 'symmetric' is D^-1/2 K D^-1/2, 'before' K D^-1, 'after' D^-1 K, and
      'none' K.
    valid: [H, W, 1] of 0 and 1. Pixels of 0 send nothing and are in no sum.
  """
  if how not in NORMALIZATIONS:
    raise ValueError(f'normalization={how!r} is not one of {NORMALIZATIONS}.')
  if how == 'none':
    return lambda x: kernel(valid * x)
  sums = kernel(valid) + 1e-20
  if how == 'symmetric':
    scale = jax.lax.rsqrt(sums)
    return lambda x: scale * kernel(valid * scale * x)
  if how == 'before':
    return lambda x: kernel(valid / sums * x)
  return lambda x: kernel(valid * x) / sums


def without_self(
    kernel: Callable[[jax.Array], jax.Array],
) -> Callable[[jax.Array], jax.Array]:
  """Removes the pairs of a pixel with itself from an exact kernel."""
  return lambda x: kernel(x) - x


def bilateral_features(
    image: jax.Array, position_width: float, color_width: float
) -> jax.Array:
  """Returns the features of the bilateral kernel, [H, W, 5], without gradient.

  Args:
    image: [H, W, 3].
    position_width: standard deviation in pixels.
    color_width: standard deviation in the units of the image.
  """
  h, w, _ = image.shape
  y, x = jnp.mgrid[:h, :w]
  position = jnp.stack([y, x], -1) / position_width
  color = image.astype(jnp.float32) / color_width
  return jax.lax.stop_gradient(jnp.concatenate([position, color], -1))


def bilateral(feats: jax.Array) -> Callable[[jax.Array], jax.Array]:
  """Returns the filter of features [H, W, F]: exact for small images.

  Above `SMALL` pixels it is the approximation of the permutohedral lattice;
  launch/speed.md has its error.
  """
  h, w, f = feats.shape
  if h * w <= SMALL:
    return gaussian.all_pairs(feats)
  corners = permutohedral.locate(feats.reshape(-1, f))
  return on_lattice(permutohedral.connect(corners))


def on_lattice(
    lattice: permutohedral.Lattice,
) -> Callable[[jax.Array], jax.Array]:
  """Returns the filter [H, W, C] -> [H, W, C] of a lattice of H * W points."""
  return lambda x: permutohedral.apply(
      lattice, x.reshape(-1, x.shape[-1])
  ).reshape(x.shape)


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
  """Returns float32 logarithms of probabilities, clipped from below at 1e-5.

  The clipping is that of pydensecrf: a CRF may choose any class.
  """
  return np.log(np.clip(probabilities, 1e-5, 1)).astype(np.float32)


def check_inputs(probabilities: np.ndarray, image: np.ndarray) -> None:
  """Raises ValueError unless an image is RGB and as large as its prediction.

  Args:
    probabilities: [H, W, K].
    image: the image before normalisation, [H, W, 3] of uint8.
  """
  if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
    raise ValueError(
        'A CRF compares colours and needs RGB images, [H, W, 3] of uint8; this'
        f" is {list(image.shape)} of {image.dtype}. Set predict.refine to ''."
    )
  if probabilities.shape[:2] != image.shape[:2]:
    raise ValueError(
        f'A CRF needs labels of the size of the image, {image.shape[:2]}; these'
        f" have {probabilities.shape[:2]}. Set predict.refine to ''."
    )


def check_kernel(name: str, kernel: tuple[float, ...], *meanings: str) -> None:
  """Raises ValueError unless a kernel is a tuple (weight, width, ...).

  Args:
    name: name of the option, for the error.
    kernel: the value of the option.
    meanings: names of its numbers, for the error; the name of a width that may
      be 0 ends with 'or 0', others are positive.
  """
  expected = f'{name} is ({", ".join(meanings)})'
  if not isinstance(kernel, tuple) or len(kernel) != len(meanings):
    raise ValueError(f'{expected}, not {kernel!r}.')
  for width, meaning in zip(kernel[1:], meanings[1:], strict=True):
    if width < 0 or (width == 0 and not meaning.endswith('or 0')):
      raise ValueError(f'{expected}, with positive widths, not {kernel}.')


def check_iterations(iterations: int) -> None:
  """Raises ValueError unless there is at least one iteration."""
  if iterations < 1:
    raise ValueError(f'iterations={iterations} must be at least 1.')
