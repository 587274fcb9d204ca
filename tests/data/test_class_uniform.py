import collections

import cv2
import numpy as np
import pytest

from segjax.data import class_uniform
from segjax.data import pipeline
from segjax.data import transforms
from segjax.data.class_uniform import ClassUniform
from segjax.data.image import BadExample
from segjax.data.label_map import numbered

CLASSES = 4


class Labels:
  """A data set of given labels, whose images show the place of each pixel."""

  label_map = numbered(CLASSES)

  def __init__(self, labels, bad=()):
    self._labels = labels
    self._bad = bad

  def __len__(self):
    return len(self._labels)

  def __getitem__(self, index):
    if index in self._bad:
      raise BadExample(f'example {index}')
    label = self._labels[index]
    rows, columns = np.indices(label.shape)
    image = np.stack([rows, columns, np.full_like(rows, index)], -1)
    return {
        'image': image.astype(np.float32),
        'label': label,
        'name': str(index),
    }


def rare():
  """Ten labels of class 0, the last with a little of class 2, and ignored."""
  labels = np.zeros((10, 24, 32), np.uint8)
  labels[9, 20:22, 28:31] = 2
  labels[:, :2] = 255
  return labels


def test_centers_are_those_of_the_classes_in_whole_tiles():
  label = np.full((11, 13), 255, np.uint8)
  label[0:2, 0:3] = 0  # Of the first tile.
  label[5, 5:10] = 1  # Of the last of four tiles of 5 x 5 pixels.
  label[7, 8] = 3
  label[10, 12] = 2  # In the rest that no tile has.
  other = np.where(label < 3, label + 1, 255).astype(np.uint8)
  centers = class_uniform.class_centers(Labels([label, other]), tile=5)
  expected = [[[0, 0, 1]], [[0, 5, 7], [1, 0, 1]], [[1, 5, 7]], [[0, 7, 8]]]
  for found, wanted in zip(centers, expected, strict=True):
    np.testing.assert_array_equal(found, wanted)


def test_an_image_that_is_smaller_than_a_tile_is_one():
  centers = class_uniform.class_centers(Labels(rare()))
  np.testing.assert_array_equal(centers[2], [[9, 20, 29]])
  assert [len(places) for places in centers] == [10, 0, 1, 0]


def test_classes_that_occur_are_drawn_alike():
  draw = ClassUniform(class_uniform.class_centers(Labels(rare())), 0.5, seed=3)
  drawn = [draw(position) for position in range(4000)]
  shown = collections.Counter(
      None if one is None else one[0] == 9 and tuple(one[1]) == (20, 29)
      for one in drawn
  )
  # A quarter each, and half by the order of the epoch.
  assert 1850 < shown[None] < 2150
  assert 880 < shown[True] < 1120


def batches(dataset, spec, share, **options):
  draw = ClassUniform(class_uniform.class_centers(dataset), share, seed=0)
  return pipeline.train_batches(
      dataset, spec, seed=0, threads=1, class_uniform=draw, **options
  )


@pytest.mark.parametrize(
    'spec',
    [
        'random_crop(8, 10)|normalize(0.0, 1.0)',
        'flip|random_crop(8, 10)|normalize(0.0, 1.0)',
        'random_scale(0.5, 2.0)|random_crop(8, 10)|normalize(0.0, 1.0)',
    ],
)
def test_crops_lie_over_the_class(spec):
  labels = rare()[8:]
  labels[:, 2:] = labels[:, 2:] + (labels[:, 2:] == 0)  # Class 1 everywhere.
  labels[0] = 255
  with_class = 0
  read = batches(Labels(labels), spec, 1.0, batch_size=40)
  batch = next(read)
  read.close()
  assert set(batch) == {'image', 'label'}
  for label in batch['label']:
    with_class += 2 in label
  # Of those that are laid over class 2, half the examples, its centre may be
  # at the edge; by chance alone one in fifteen shows it.
  assert with_class > 12


def test_two_hosts_and_a_later_start_read_the_same():
  dataset = Labels(rare())
  spec = 'random_crop(8, 10)|flip|normalize(0.0, 1.0)'
  whole = batches(dataset, spec, 0.7, batch_size=6)
  first, second = (next(whole)['image'] for _ in range(2))
  whole.close()
  parts = []
  for host in range(2):
    read = batches(
        dataset,
        spec,
        0.7,
        batch_size=6,
        first_step=1,
        num_hosts=2,
        host=host,
    )
    parts.append(next(read)['image'])
    read.close()
  assert not np.array_equal(first, second)
  np.testing.assert_array_equal(np.concatenate(parts), second)


def test_an_unreadable_example_is_replaced():
  dataset = Labels(rare())
  centers = class_uniform.class_centers(dataset)
  dataset = Labels(rare(), bad={9})
  read = pipeline.train_batches(
      dataset,
      'random_crop(8, 10)|normalize(0.0, 1.0)',
      batch_size=8,
      seed=0,
      on_bad_example='skip',
      class_uniform=ClassUniform(centers, 1.0, seed=0),
  )
  assert (next(read)['image'][..., 2] != 9).all()
  assert read.skipped == 1
  read.close()


def test_a_spec_without_a_crop_is_refused():
  with pytest.raises(ValueError, match='has no crop'):
    batches(Labels(rare()), 'resize(8)|normalize(0.0, 1.0)', 1.0, batch_size=1)


@pytest.mark.parametrize(
    'op',
    [
        'resize(40, 50)',
        "resize(15, mode='short')",
        'random_scale(0.5, 2.0)',
        'flip(1.0)',
        'rotate(1.0, 30.0)',
        'elastic(1.0, sigma=2.0)',
        'grid_distortion(1.0)',
        'pad(40, 50)',
    ],
)
def test_a_point_stays_on_what_it_marks(op):
  image = np.zeros((24, 32, 3), np.float32)
  image[9, 20] = 255
  # A soft spot, so that resizing does not lose it.
  image = cv2.GaussianBlur(image, (7, 7), 1.5)
  features = {'image': image, 'anchor': np.float32([[9, 20]])}
  moved = transforms.apply(
      transforms.parse(op), features, np.random.default_rng(1)
  )
  spot = moved['image'][..., 0]
  rows, columns = np.indices(spot.shape)
  at = [(spot * axis).sum() / spot.sum() for axis in (rows, columns)]
  np.testing.assert_allclose(moved['anchor'][0], at, atol=0.8)
