"""CRFs behind a network, as calls in strings.

`build('dense(gaussian=(3.0, 1.0), bilateral=(4.0, 67.0, 3.0))')`

A CRF is a function of the probabilities [H, W, K] of a network and of the image
as it was read, [H, W, 3] of uint8. It returns probabilities of labels that
agree more where pixels are near and colours alike.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from segjax import specs
from segjax.ops import convcrf
from segjax.ops import crf
from segjax.ops import gaussian
from segjax.ops import permutohedral

# Sides of images grow to a multiple of this, so that few shapes are compiled.
SIDE = 64
METHODS = ('auto', 'exact', 'lattice')


def build(text):
  """Returns `function(probabilities, image)` that a call names; None for ''.

  Raises:
    ValueError: there is no such CRF, or its arguments are wrong.
  """
  if not text:
    return None
  name, kwargs = specs.parse(text, KNOWN, 'CRF')
  try:
    return KNOWN[name](**kwargs)
  except (TypeError, ValueError) as error:
    raise ValueError(f'{text}: {error}') from error


@dataclasses.dataclass(frozen=True)
class Dense:
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
      _check_kernel('gaussian', self.gaussian, 'weight', 'width')
    if self.bilateral:
      names = 'weight', 'width', 'color width'
      _check_kernel('bilateral', self.bilateral, *names)
    for name, known in (
        ('normalization', crf.NORMALIZATIONS),
        ('method', METHODS),
    ):
      if getattr(self, name) not in known:
        raise ValueError(
            f'{name}={getattr(self, name)!r} is not one of {known}.'
        )
    _check_iterations(self.iterations)
    if self.bilateral and not self.include_self and self.method != 'exact':
      raise ValueError(
          "include_self=False is for method='exact', whose time grows with the"
          ' square of the pixels.'
      )

  def __call__(self, probabilities, image):
    """Returns better probabilities, [H, W, K]."""
    _check(probabilities, image)
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
        np.pad(_log(probabilities), border),
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


@dataclasses.dataclass(frozen=True)
class ConvCRF:
  """CRF of the pairs in a window, https://arxiv.org/abs/1805.04777.

  The defaults are those of the authors' demo.
  """

  gaussian: tuple = (3.0, 3.0)  # Weight, width in pixels.
  # Weight, width in pixels, width in colours of 0 to 255. With 0 pixels, as in
  # the authors' code by default, colours decide alone.
  bilateral: tuple = (10.0, 0.0, 13.0)
  window: int = 7  # Its side, odd, in cells.
  blur: int = 4  # Side of a cell, in pixels.
  weight: float = 0.2  # Of messages, of 1.
  iterations: int = 5

  def __post_init__(self):
    _check_kernel('gaussian', self.gaussian, 'weight', 'width')
    names = 'weight', 'width or 0', 'color width'
    _check_kernel('bilateral', self.bilateral, *names)
    convcrf.check_window(self.window, self.blur)
    _check_iterations(self.iterations)

  def __call__(self, probabilities, image):
    """Returns better probabilities, [H, W, K]."""
    _check(probabilities, image)
    width, color_width = self.bilateral[1:]
    q = _convcrf(
        _log(probabilities),
        image,
        (self.gaussian[0], self.bilateral[0]),
        (1 / self.gaussian[1], 1 / color_width, 1 / width if width else 0.0),
        self.weight,
        window=self.window,
        blur=self.blur,
        iterations=self.iterations,
    )
    return np.asarray(q)


@functools.partial(jax.jit, static_argnames=('window', 'blur', 'iterations'))
def _convcrf(
    unary, image, weights, scales, weight, *, window, blur, iterations
):
  feats = convcrf.features(image, *scales)
  kernels = list(zip(weights, feats, strict=True))
  message = convcrf.message(kernels, window, blur)
  return jax.nn.softmax(
      convcrf.mean_field(unary, message, iterations, weight=weight)
  )


def _log(probabilities):
  """Logarithms in float32; as in pydensecrf, no class is impossible."""
  return np.log(np.clip(probabilities, 1e-5, 1)).astype(np.float32)


def _check(probabilities, image):
  if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
    raise ValueError(
        'A CRF compares colours and needs RGB images, [H, W, 3] of uint8; this'
        f" is {list(image.shape)} of {image.dtype}. Set predict.crf to ''."
    )
  if probabilities.shape[:2] != image.shape[:2]:
    raise ValueError(
        f'A CRF needs labels of the size of the image, {image.shape[:2]}; these'
        f" have {probabilities.shape[:2]}. Set predict.crf to ''."
    )


def _check_kernel(name, kernel, *meanings):
  wanted = f'{name} is ({", ".join(meanings)})'
  if not isinstance(kernel, tuple) or len(kernel) != len(meanings):
    raise ValueError(f'{wanted}, not {kernel!r}.')
  for width, meaning in zip(kernel[1:], meanings[1:], strict=True):
    if width < 0 or (width == 0 and not meaning.endswith('or 0')):
      raise ValueError(f'{wanted}, with positive widths, not {kernel}.')


def _check_iterations(iterations):
  if iterations < 1:
    raise ValueError(f'iterations={iterations} must be at least 1.')


KNOWN = {'dense': Dense, 'convcrf': ConvCRF}
