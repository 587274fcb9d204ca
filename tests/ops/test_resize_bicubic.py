import numpy as np
import pytest

from segjax.ops.resize import resize


def kernel(distance, a=-0.75):
  """Keys' cubic convolution."""
  d = abs(distance)
  if d <= 1:
    return (a + 2) * d**3 - (a + 3) * d**2 + 1
  return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def reference(row, new, align_corners):
  """PyTorch's upsample_bicubic2d along one axis, [old] -> [new]."""
  old, out = len(row), np.zeros(new)
  for i in range(new):
    if align_corners:
      source = i * (old - 1) / (new - 1) if new > 1 else 0.0
    else:
      source = old / new * (i + 0.5) - 0.5
    first = int(np.floor(source)) - 1
    for j in range(first, first + 4):
      out[i] += kernel(source - j) * row[min(max(j, 0), old - 1)]
  return out


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('new', [(9, 13), (3, 2), (1, 1)])
@pytest.mark.parametrize('old', [(5, 7), (1, 3)])
def test_bicubic_resize_equals_the_formula_of_pytorch(old, new, align_corners):
  x = np.random.default_rng(0).normal(size=(2, *old, 3)).astype(np.float32)
  rows = np.apply_along_axis(reference, 1, x, new[0], align_corners)
  both = np.apply_along_axis(reference, 2, rows, new[1], align_corners)
  out = resize(x, new, align_corners=align_corners, method='bicubic')
  np.testing.assert_allclose(out, both, atol=1e-5)


def test_bicubic_resize_gives_the_values_that_pytorch_gives():
  x = np.array([0.0, 1.0, 4.0, 9.0], np.float32).reshape(1, 1, 4, 1)
  out = resize(x, (1, 8), method='bicubic').ravel()
  theirs = [-0.10546875, 0.12109375, 0.45703125, 1.609375]
  theirs += [2.828125, 5.44921875, 7.97265625, 9.52734375]
  np.testing.assert_allclose(out, theirs, atol=1e-5)


def test_an_unknown_method_is_refused_with_those_there_are():
  x = np.zeros((1, 2, 2, 1), np.float32)
  with pytest.raises(ValueError, match="'cubic'. Known: bilinear, bicubic"):
    resize(x, (4, 4), method='cubic')
