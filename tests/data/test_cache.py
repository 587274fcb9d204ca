import numpy as np
import pytest

from segjax.data import cache
from segjax.data import pipeline
from segjax.data.image import BadExample


class Counted:
  """Examples of 4 MB, and how often each was read."""

  def __init__(self, length):
    self.reads = [0] * length

  def __len__(self):
    return len(self.reads)

  def __getitem__(self, index):
    self.reads[index] += 1
    image = np.full((1000, 1000, 3), index, np.uint8)
    image[::2] += 100
    label = np.zeros((1000, 1000), np.uint8)
    return {'image': image, 'label': label, 'name': str(index)}


def test_what_fits_is_read_once_and_the_rest_each_time():
  dataset = Counted(5)
  found = cache.Cached(dataset, 0.0125)  # Three of them.
  for _ in range(4):
    for index in (3, 0, 4, 1, 2):
      assert found[index]['image'][0, 0, 0] == index + 100
  assert len(found) == 5
  assert dataset.reads == [1, 4, 4, 1, 1]


def test_nothing_is_kept_of_zero_gigabytes():
  dataset = Counted(1)
  found = cache.Cached(dataset, 0.0)
  assert [found[0]['name'] for _ in range(3)] == ['0'] * 3
  assert dataset.reads == [3]


@pytest.mark.parametrize('gigabytes', [-1, float('nan')])
def test_a_size_that_makes_no_sense_is_an_error(gigabytes):
  with pytest.raises(ValueError, match=f'{gigabytes} GB .* give 0 or more'):
    cache.Cached(Counted(1), gigabytes)


@pytest.mark.parametrize(
    'spec',
    [
        'random_scale|random_crop(64)|flip|photometric|normalize',
        'elastic|rotate|class_balanced_crop(64)|blur|cutout|normalize|bgr',
        'copy_paste|random_crop(64)|cutmix|mosaic|gamma|clahe|normalize',
        'pad(1024)|random_crop(64)|normalize|border_weights',
    ],
)
def test_batches_are_the_same_from_memory(spec):
  dataset = Counted(3)
  options = dict(batch_size=3, seed=0, threads=1)
  plain = pipeline.train_batches(dataset, spec, **options)
  held = pipeline.train_batches(cache.Cached(dataset, 1.0), spec, **options)
  for _ in range(3):
    for a, b in zip(next(plain).values(), next(held).values(), strict=True):
      np.testing.assert_array_equal(a, b)
  plain.close()
  held.close()


def test_a_bad_example_is_not_kept():
  class Damaged(Counted):

    def __getitem__(self, index):
      raise BadExample(f'read {super().__getitem__(index)["name"]}')

  dataset = Damaged(1)
  found = cache.Cached(dataset, 1.0)
  for _ in range(2):
    with pytest.raises(BadExample, match='read 0'):
      found[0]
  assert dataset.reads == [2]
