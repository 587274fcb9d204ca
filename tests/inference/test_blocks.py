"""Parts of an image are, side by side, the prediction of the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.inference import blocks
from segjax.inference import views
from segjax.inference import windows


@pytest.mark.parametrize('halo', [0, 3, 9])
@pytest.mark.parametrize(('window', 'stride'), [(16, 16), (16, 11), (16, 5)])
@pytest.mark.parametrize('length', [7, 16, 17, 60, 101])
def test_parts_cover_an_axis_by_the_windows_of_the_whole(
    length, window, stride, halo
):
  starts = windows.grid(length, window, stride)
  low = 0
  for part in blocks.divide(length, window, stride, 40, halo):
    assert part.low == low < part.high
    low = part.high
    inside = windows.grid(part.stop - part.start, window, stride)
    inside = [part.start + start for start in inside]
    for start in starts:
      if start < part.high and start + window > part.low:
        assert start in inside
        assert max(start - halo, 0) >= part.start
        assert min(start + window + halo, length) <= part.stop
  assert low == length


def test_parts_are_as_large_as_they_may_be_and_no_larger():
  parts = blocks.divide(20_000, 512, 341, 2048)
  sides = [part.stop - part.start for part in parts]
  assert max(sides) == 4 * 341 + 512
  assert len(parts) == 15


def test_a_part_is_larger_where_nothing_could_be_kept():
  for part in blocks.divide(100, 16, 4, 1):
    assert part.high > part.low


@pytest.mark.parametrize(
    ('halo', 'weights'), [(0, 'flat'), (0, 'hann'), (2, 'hann')]
)
def test_parts_are_predicted_as_the_whole_image(halo, weights):
  size, side = (53, 71), 2 * halo + 1
  image = np.asarray(jax.random.normal(jax.random.key(0), (*size, 3)))
  kernel = jax.random.normal(jax.random.key(1), (side, side, 3, 4))

  @jax.jit
  def forward(batch):
    x = batch['image']
    x = x + x.mean((1, 2), keepdims=True)  # Each window sees all of its own.
    x = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    return {'logits': x + jnp.arange(4)}

  options = views.Inference(
      mode='slide', window=(16, 24), stride=(11, 13), weights=weights, halo=halo
  )

  def predicted(image):
    example = {'image': image, 'size': image.shape[:2]}
    ((_, found),) = views.predict(forward, [example], options, True)
    return found['probabilities']

  whole, joined = predicted(image), np.full((*size, 4), np.nan, np.float32)
  rows, columns = (
      blocks.divide(length, window, stride, 40, halo)
      for length, window, stride in zip(
          size, options.window, options.stride, strict=True
      )
  )
  assert len(rows) > 1
  assert len(columns) > 1
  for y in rows:
    for x in columns:
      part = predicted(image[y.start : y.stop, x.start : x.stop])
      joined[y.low : y.high, x.low : x.high] = part[
          y.low - y.start : y.high - y.start, x.low - x.start : x.high - x.start
      ]
  np.testing.assert_allclose(joined, whole, atol=1e-6)
