"""Fully connected CRF, https://arxiv.org/abs/1210.5644.

It returns probabilities of labels that agree more where pixels are near and
colours alike.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops import crf
from segjax.ops import gaussian
from segjax.ops import permutohedral

# Sides of images grow to a multiple of this, so that few shapes are compiled.
SIDE = 64
METHODS = ('auto', 'exact', 'lattice')


@dataclasses.dataclass(frozen=True)
class DenseCRF:
  """Fully connected CRF, https://arxiv.org/abs/1210.5644.

  The defaults are those of pydensecrf's example. The Gaussian kernel is exact,
  the bilateral one exact for small images and on the permutohedral lattice for
  others; `ops.crf.bilateral` says how far it is off. Of 1024 x 2048 pixels and
  19 classes, 10 iterations took 2.2 GB of memory, and 72 s on two CPU cores
  that were shared with other work.

  In place of a weight there may be K numbers, or K times K: see
  `ops.crf.message`.
  """

  gaussian: tuple = (3.0, 3.0)  # Weight, width in pixels; () leaves it out.
  # Weight, width in pixels, width in colours of 0 to 255.
  bilateral: tuple = (10.0, 80.0, 13.0)
  iterations: int = 5
  normalization: str = 'symmetric'  # One of ops.crf.NORMALIZATIONS.
  # Whether a pixel is a neighbour of itself, as in the authors' code and not in
  # the paper; only an exact kernel can leave it out.
  include_self: bool = True
  # Of the bilateral kernel: 'auto', or, at any size, 'exact' or 'lattice'.
  method: str = 'auto'

  def __post_init__(self):
    if not self.gaussian and not self.bilateral:
      raise ValueError('gaussian and bilateral are both left out.')
    if self.gaussian:
      crf.check_kernel('gaussian', self.gaussian, 'weight', 'width')
    if self.bilateral:
      names = 'weight', 'width', 'color width'
      crf.check_kernel('bilateral', self.bilateral, *names)
    for name, known in (
        ('normalization', crf.NORMALIZATIONS),
        ('method', METHODS),
    ):
      if getattr(self, name) not in known:
        raise ValueError(
            f'{name}={getattr(self, name)!r} is not one of {known}.'
        )
    crf.check_iterations(self.iterations)
    if self.bilateral and not self.include_self and self.method != 'exact':
      raise ValueError(
          "include_self=False is for method='exact', whose time grows with the"
          ' square of the pixels.'
      )

  def __call__(self, example, probabilities):
    """Returns better probabilities, [H, W, K]."""
    image = example['raw']
    crf.check_inputs(probabilities, image)
    h, w, k = probabilities.shape
    kernels = [kernel for kernel in (self.gaussian, self.bilateral) if kernel]
    for kernel in kernels:
      if np.shape(kernel[0]) not in ((), (k,), (k, k)):
        raise ValueError(
            f'A weight of a CRF is a number, {k} or {k} times {k} of them for'
            f' {k} classes, not {np.shape(kernel[0])}.'
        )
    border = (0, -h % SIDE), (0, -w % SIDE), (0, 0)
    feats = lattice = None
    if self.bilateral:
      feats = _features(image, *self.bilateral[1:])
      # Points of the border lie where others do, and so add no corner.
      feats = jnp.pad(feats, border, mode='edge')
      small = h * w <= crf.SMALL
      if self.method == 'lattice' or (self.method == 'auto' and not small):
        lattice, feats = _lattice(feats), None
    q = _dense(
        np.pad(crf.log_probabilities(probabilities), border),
        np.pad(np.ones((h, w, 1), np.float32), border),
        [np.asarray(kernel[0], np.float32) for kernel in kernels],
        feats,
        lattice,
        width=self.gaussian[1] if self.gaussian else None,
        iterations=self.iterations,
        normalization=self.normalization,
        include_self=self.include_self,
    )
    return np.asarray(q)[:h, :w]


@functools.partial(
    jax.jit,
    static_argnames=('width', 'iterations', 'normalization', 'include_self'),
)
def _dense(
    unary,
    valid,
    weights,
    feats,
    lattice,
    *,
    width,
    iterations,
    normalization,
    include_self,
):
  """Probabilities [H, W, K]; what varies among images and calls is traced."""
  kernels = []
  if width is not None:
    kernels.append(gaussian.spatial(width))
  if lattice is not None:
    kernels.append(crf.on_lattice(lattice))
  if feats is not None:
    kernels.append(gaussian.all_pairs(feats))
  if not include_self:
    kernels = map(crf.without_self, kernels)
  kernels = [crf.normalized(kernel, normalization, valid) for kernel in kernels]
  message = crf.message(list(zip(weights, kernels, strict=True)))
  return jax.nn.softmax(crf.mean_field(unary, message, iterations))


_features = jax.jit(crf.bilateral_features)
_locate = jax.jit(permutohedral.locate)
_connect = jax.jit(permutohedral.connect, static_argnums=1)


def _lattice(feats):
  """The lattice of features [H, W, F], with tables as large as it needs."""
  found = _locate(feats.reshape(-1, feats.shape[-1]))
  # Powers of two, so that few sizes are compiled.
  return _connect(found, 1 << (int(found.count) - 1).bit_length())


build = DenseCRF
