import functools

import jax.numpy as jnp
from jax.test_util import check_grads
import numpy as np
import pytest

from segjax.kernels.window import Window
from segjax.ops.conv import conv
from segjax.ops.deform_conv import deform_conv

WINDOW = Window((2, 1), ((1, 1), (2, 3)), (1, 2))
GROUPED = Window((1, 2), ((1, 1), (0, 1)), groups=2)


def inputs(window, parts=1, spread=2.0):
  """Image, offsets, kernel and mask, with offsets for so many groups."""

  def draw(*shape):
    return random.normal(size=shape).astype(np.float32)

  random = np.random.default_rng(0)
  x, kernel = draw(1, 5, 6, 4), draw(3, 3, 4 // window.groups, 4)
  places = 1, *window.size(x.shape, kernel.shape)
  offset = spread * draw(*places, parts * 18)
  return x, offset, kernel, draw(*places, parts * 9)


def naive(x, offset, kernel, mask, window):
  """The sum over taps, pixel by pixel."""
  _, height, width, channels = x.shape
  _, rows, columns, _ = offset.shape
  parts = offset.shape[-1] // 18
  offset = offset.reshape(rows, columns, parts, 9, 2)
  mask = mask.reshape(rows, columns, parts, 9)
  inner, features = kernel.shape[2:]
  out = np.zeros((1, rows, columns, features))
  for i, j, t, f in np.ndindex(rows, columns, 9, features):
    group = f // (features // window.groups)
    for c in range(inner):
      channel = group * inner + c
      part = channel // (channels // parts)
      place = [
          n * stride - pad[0] + tap * step + moved
          for n, stride, pad, tap, step, moved in zip(
              (i, j),
              window.strides,
              window.padding,
              divmod(t, 3),
              window.dilation,
              offset[i, j, part, t],
              strict=True,
          )
      ]
      for row, column in np.ndindex(height, width):
        weight = max(0.0, 1 - abs(place[0] - row))
        weight *= max(0.0, 1 - abs(place[1] - column))
        value = mask[i, j, part, t] * weight * x[0, row, column, channel]
        out[0, i, j, f] += kernel.reshape(9, inner, features)[t, c, f] * value
  return out


@pytest.mark.parametrize(('window', 'parts'), [(WINDOW, 1), (GROUPED, 4)])
def test_it_equals_a_sum_over_taps(window, parts):
  x, offset, kernel, mask = inputs(window, parts)
  y = deform_conv(x, offset, kernel, window, mask=mask)
  expected = naive(x, offset, kernel, mask, window)
  np.testing.assert_allclose(y, expected, atol=1e-4)


def test_without_offsets_it_is_a_convolution():
  x, offset, kernel, _ = inputs(GROUPED, spread=0.0)
  np.testing.assert_allclose(
      deform_conv(x, offset, kernel, GROUPED),
      conv(jnp.asarray(x), jnp.asarray(kernel), GROUPED),
      atol=1e-4,
  )


def test_gradients_equal_finite_differences():
  x, offset, kernel, mask = inputs(WINDOW)
  # No tap is so near to a pixel's centre that a difference passes it.
  offset = np.floor(offset) + 0.4
  compute = functools.partial(deform_conv, window=WINDOW)
  check_grads(
      lambda x, offset, kernel, mask: compute(x, offset, kernel, mask=mask),
      (x, offset.astype(np.float32), kernel, mask),
      order=1,
      modes=['rev'],
      eps=1e-2,
      atol=2e-2,
      rtol=2e-2,
  )


def test_images_of_a_batch_do_not_mix():
  x, offset, kernel, mask = inputs(WINDOW)
  pair = [np.concatenate([array, -array]) for array in (x, offset, mask)]
  both = deform_conv(*pair[:2], kernel, WINDOW, mask=pair[2])
  alone = deform_conv(x, offset, kernel, WINDOW, mask=mask)
  np.testing.assert_allclose(both[:1], alone, atol=1e-5)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda x, o, k, m: (x, o[..., :17], k, m), r'offset is \(1, 3, 7, 17'),
        (lambda x, o, k, m: (x, o[:, :2], k, m), r'\(1, 3, 7, 18\)'),
        (lambda x, o, k, m: (x, o, k, m[..., 1:]), r'mask is .*\(1, 3, 7, 9\)'),
    ],
)
def test_offsets_and_masks_of_a_wrong_shape_are_refused(change, message):
  x, offset, kernel, mask = change(*inputs(WINDOW))
  with pytest.raises(ValueError, match=message):
    deform_conv(x, offset, kernel, WINDOW, mask=mask)
