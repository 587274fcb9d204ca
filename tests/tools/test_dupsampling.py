import numpy as np
import pytest

from segjax.artifacts import checkpoint
from segjax.artifacts import warm_start
from segjax.artifacts.workdir import Workdir
from segjax.tools import dupsampling

CLASSES, FACTOR = 3, 4


def make_dataset(count=5):
  """Labels of bands of rows, of which few patches differ."""
  rng = np.random.default_rng(0)
  return [
      {
          'label': np.repeat(
              rng.integers(0, CLASSES, 6).astype(np.uint8), 4
          ).reshape(-1, 1)
          * np.ones((1, 20), np.uint8)
      }
      for _ in range(count)
  ]


def test_patches_are_one_hot_and_what_is_ignored_is_class_0():
  label = np.full((6, 7), 2, np.uint8)
  label[:, 3:] = 255
  (patches,) = (
      dupsampling.sample([{'label': label}], FACTOR, CLASSES, 8).toarray(),
  )
  assert patches.shape == (8, FACTOR**2 * CLASSES)
  pixels = patches.reshape(8, FACTOR, FACTOR, CLASSES)
  np.testing.assert_array_equal(pixels.sum(-1), 1)
  assert set(np.unique(pixels.argmax(-1))) == {0, 2}
  # Patches keep the order of columns: ignored pixels are on the right.
  assert (np.diff(pixels.argmax(-1), axis=2) <= 0).all()


def test_one_channel_is_that_of_the_second_class():
  label = np.eye(5, dtype=np.uint8)
  label[0, 1] = 255
  patches = dupsampling.sample([{'label': label}], 5, 1, 1).toarray()
  np.testing.assert_array_equal(patches[0].reshape(5, 5), np.eye(5))


def test_the_map_loses_as_little_as_any():
  patches = dupsampling.sample(make_dataset(), FACTOR, CLASSES, 200)
  rows = dupsampling.fit(patches, 5)
  np.testing.assert_allclose(rows @ rows.T, np.eye(5), atol=1e-5)
  dense = patches.toarray()
  lost = np.square(dense - dense @ rows.T @ rows).mean()
  spectrum = np.linalg.svd(dense, compute_uv=False)
  assert (spectrum > 1e-4).sum() > 5
  np.testing.assert_allclose(
      lost, np.square(spectrum[5:]).sum() / dense.size, rtol=1e-3
  )
  np.testing.assert_allclose(dupsampling.error(patches, rows), lost, rtol=1e-3)


def test_a_run_can_begin_with_the_map(tmp_path):
  rows = np.arange(12, dtype=np.float32).reshape(2, 6)
  dupsampling.write(tmp_path / 'expand', rows)
  _, saved = checkpoint.best(Workdir(tmp_path / 'expand').checkpoints)
  variables = {
      'params': {
          'expand': {'kernel': np.zeros((1, 1, 2, 6), np.float32)},
          'encode': {'bias': np.ones(2, np.float32)},
      }
  }
  filled, _ = warm_start.fill(variables, saved, channels=3)
  np.testing.assert_array_equal(
      filled['params']['expand']['kernel'][0, 0], rows
  )
  np.testing.assert_array_equal(filled['params']['encode']['bias'], 1)
  with pytest.raises(ValueError, match='has checkpoints already'):
    dupsampling.write(tmp_path / 'expand', rows)


def test_an_image_smaller_than_a_patch_is_named():
  images = [{'label': np.zeros((3, 9), np.uint8)}]
  with pytest.raises(ValueError, match='Image 0 is 3 x 9, smaller'):
    dupsampling.sample(images, FACTOR, CLASSES, 2)
