"""Ops on images with more channels and longer sides than OpenCV takes."""

import cv2
import numpy as np
import pytest

from segjax.data import transforms
from segjax.data.transforms import opencv

SPECS = [
    *('resize(30)', 'resize(70, 90)', 'random_scale(0.5, 2.0)', 'flip(1.0)'),
    *('random_scale(0.5, 2.0)|random_crop(16)', 'rotate(1.0)', 'blur(1.0)'),
    *('elastic(1.0)', 'cutout(1.0)', 'pad(90)', 'grid_distortion(1.0)'),
]


def moved(spec, image, label):
  """Returns image and label after the ops of a spec, which draw alike."""
  ops = transforms.fuse(transforms.parse(spec))
  features = {'image': image, 'label': label, 'name': 'a'}
  features = transforms.apply(ops, features, np.random.default_rng(1))
  return features['image'], features['label']


@pytest.mark.parametrize('spec', SPECS)
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_channels_beyond_opencv_move_like_the_first(spec, dtype):
  rng = np.random.default_rng(0)
  y, x = np.mgrid[:40, :50]
  one = (2 * y + x)[..., None].astype(dtype)
  label = rng.integers(3, size=(40, 50)).astype(np.uint8)
  expected, expected_label = moved(spec, one, label)
  for channels in (128, 129, 300):
    found, found_label = moved(spec, np.repeat(one, channels, 2), label)
    assert found.shape[2] == channels
    assert found.dtype == dtype
    # OpenCV rounds points of one channel and of many differently, which is
    # seen at the border alone.
    difference = np.abs(found.astype(float) - expected)
    assert np.mean(difference > 1) < 0.02
    assert np.ptp(found.astype(float), axis=2).max() < 1e-3
    np.testing.assert_array_equal(found_label, expected_label)


@pytest.mark.parametrize('spec', ['rotate(1.0)', 'elastic(1.0)'])
@pytest.mark.parametrize('shape', [(40, 50), (8, 100), (100, 8)])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_parts_of_a_long_image_move_as_the_whole(
    spec, shape, dtype, monkeypatch
):
  y, x = np.mgrid[: shape[0], : shape[1]]
  image = np.stack([y + x, 2 * y, 100 - x], -1).astype(dtype)
  label = ((x // 7 + y // 5) % 4).astype(np.uint8)
  expected, expected_label = moved(spec, image, label)
  monkeypatch.setattr(opencv, 'SIDE', 24)
  found, found_label = moved(spec, image, label)
  assert found.dtype == dtype
  inside = expected_label != 255
  difference = np.abs(found.astype(float) - expected)[inside]
  assert np.mean(difference > 1) < 0.02  # At the border of the image.
  assert np.mean(found_label != expected_label) < 0.02
  if spec.startswith('elastic'):  # Both sample at the same points.
    np.testing.assert_array_equal(found_label, expected_label)
    np.testing.assert_allclose(found.astype(float), expected, atol=1)


@pytest.mark.parametrize('spec', ['rotate(1.0)', 'elastic(1.0)', 'resize(9)'])
@pytest.mark.parametrize('shape', [(4, 33_000), (33_000, 4)])
def test_long_images_move_with_their_labels(spec, shape):
  y, x = np.mgrid[: shape[0], : shape[1]]
  where = ((x + y) // 1000).astype(np.uint8)  # Constant but for 33 steps.
  image = np.repeat(where[..., None], 3, 2).astype(np.float64)
  found, label = moved(spec, image.astype(np.float32), where)
  inside = (label != 255) & (found[..., 0] == found[..., 0].round())
  assert inside.sum() > 10
  same = found[..., 0][inside] == label[inside]
  assert same.mean() > 0.9


def test_ids_of_a_long_image_are_picked():
  ids = np.arange(33_000, dtype=np.float64)[None].repeat(3, 0)
  matrix = np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 0.0]])
  found = opencv.warp(ids, matrix, cv2.INTER_NEAREST, -1)
  np.testing.assert_array_equal(found[:, 5:], ids[:, :-5])
  assert (found[:, :5] == -1).all()
