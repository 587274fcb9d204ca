import cv2
import grain
import numpy as np
import pytest

from segjax.data import datasets
from segjax.data import values
from segjax.data.datasets import files
from segjax.data.image import BadExample
from segjax.data.label_map import LabelMap

LABELS = LabelMap(('a', 'b'), ((0, 0, 0), (255, 255, 255)), {0: 0, 1: 1})


def write(path, array):
  path.parent.mkdir(parents=True, exist_ok=True)
  assert cv2.imwrite(str(path), array)


def split_of(tmp_path, *images, **fields):
  """Writes images with masks of zeros and returns the data set."""
  for i, image in enumerate(images):
    write(tmp_path / f'images/{i}.png', image)
    write(tmp_path / f'masks/{i}.png', np.zeros(image.shape[:2], np.uint8))
  examples = files.pair(tmp_path / 'images', tmp_path / 'masks')
  return files.Files('train', examples, LABELS, **fields)


def test_grain_takes_it_as_a_source(tmp_path):
  dataset = split_of(tmp_path, *np.zeros((3, 4, 5, 3), np.uint8))
  names = [e['name'] for e in grain.MapDataset.source(dataset).repeat(2)]
  assert names == ['0', '1', '2'] * 2
  assert isinstance(dataset, datasets.Dataset)
  assert repr(dataset) == "Files(split='train', size=3)"


def test_a_mask_of_another_size_names_both_files(tmp_path):
  dataset = split_of(tmp_path, np.zeros((4, 6, 3), np.uint8))
  write(tmp_path / 'masks/0.png', np.zeros((6, 4), np.uint8))
  with pytest.raises(
      BadExample, match='masks/0.png is 6x4 .*images/0.png is 4'
  ):
    dataset[0]


def test_an_id_outside_the_map_names_the_mask(tmp_path):
  dataset = split_of(tmp_path, np.zeros((4, 6, 3), np.uint8))
  write(tmp_path / 'masks/0.png', np.full((4, 6), 9, np.uint8))
  with pytest.raises(BadExample, match=r'masks/0.png: .* 9 \(24 px\)'):
    dataset[0]


def test_a_file_that_has_gone_is_named(tmp_path):
  dataset = split_of(tmp_path, np.zeros((4, 6, 3), np.uint8))
  (tmp_path / 'masks/0.png').unlink()
  with pytest.raises(BadExample, match=r'masks/0.png: .* No such file'):
    dataset[0]


def test_grey_and_alpha_images_join_the_colour_images(tmp_path):
  shapes = (4, 6, 3), (4, 6), (4, 6, 4)
  dataset = split_of(tmp_path, *(np.ones(s, np.uint8) for s in shapes))
  assert [e['image'].shape for e in dataset] == [(4, 6, 3)] * 3


@pytest.mark.parametrize('first', range(4))
@pytest.mark.parametrize('shape', [(4, 6), (4, 6, 4)])
def test_most_images_decide_the_channels(tmp_path, first, shape):
  shapes = [(4, 6, 3)] * 3
  shapes.insert(first, shape)
  dataset = split_of(tmp_path, *(np.ones(s, np.uint8) for s in shapes))
  assert dataset.channels == 3
  assert [e['image'].shape for e in dataset] == [(4, 6, 3)] * 4


@pytest.mark.parametrize('first', range(4))
def test_images_with_too_many_channels_are_named(tmp_path, first):
  shapes = [(4, 6)] * 3
  shapes.insert(first, (4, 6, 3))
  dataset = split_of(tmp_path, *(np.ones(s, np.uint8) for s in shapes))
  for i in range(4):
    if i == first:
      message = f'{first}.png has 3 channels, expected 1'
      with pytest.raises(BadExample, match=message):
        dataset[i]
    else:
      assert dataset[i]['image'].shape == (4, 6, 1)


@pytest.mark.parametrize('shapes', [((4, 6), (4, 6, 3)), ((4, 6, 3), (4, 6))])
def test_of_as_many_the_channels_that_fit_more_decide(tmp_path, shapes):
  dataset = split_of(tmp_path, *(np.ones(s, np.uint8) for s in shapes))
  assert dataset.channels == 3


def test_a_sample_is_spread_over_all_images(tmp_path):
  shapes = [(4, 6)] * 4 + [(4, 6, 3)] * 60
  dataset = split_of(tmp_path, *(np.ones(s, np.uint8) for s in shapes))
  assert dataset.channels == 3


def test_values_are_those_of_a_sample(tmp_path):
  images = [np.full((4, 6, 3), 300 * i, np.uint16) for i in range(5)]
  found = split_of(tmp_path, *images).values
  assert found == values.Values(('uint16',), 300.0, 1200.0)


def test_a_damaged_first_image_does_not_spoil_the_others(tmp_path):
  dataset = split_of(tmp_path, *np.zeros((2, 4, 6, 3), np.uint8))
  (tmp_path / 'images/0.png').write_bytes(b'')
  assert dataset[1]['image'].shape == (4, 6, 3)
  with pytest.raises(BadExample, match='images/0.png: the file is empty'):
    dataset[0]


def test_names_are_paths_in_the_folder(tmp_path):
  for path in (
      'images/a/x.png',
      'masks/a/x.tif',
      'images/b.PNG',
      'masks/b.png',
  ):
    write(tmp_path / path, np.zeros((2, 2), np.uint8))
  (tmp_path / 'images/.b.png').touch()
  (tmp_path / 'images/notes.txt').touch()
  examples = files.pair(tmp_path / 'images', tmp_path / 'masks')
  assert [e.name for e in examples] == ['a/x', 'b']


def test_names_that_look_the_same_in_unicode_are_one(tmp_path):
  composed, apart = 'r\u00fce', 'ru\u0308e'
  black = np.zeros((2, 2), np.uint8)
  write(tmp_path / f'images/{composed}.png', black)
  write(tmp_path / f'masks/{apart}.png', black)
  examples = files.pair(tmp_path / 'images', tmp_path / 'masks')
  assert [(e.name, e.mask.stem) for e in examples] == [(composed, apart)]
  assert not examples.left_out

  # Two files may differ in nothing else; one mask is not for both.
  write(tmp_path / f'images/{apart}.png', black)
  with pytest.raises(FileNotFoundError, match='1 of 2 images have no mask'):
    files.pair(tmp_path / 'images', tmp_path / 'masks')
  write(tmp_path / f'masks/{composed}.png', black)
  examples = files.pair(tmp_path / 'images', tmp_path / 'masks')
  assert {e.name: e.mask.stem for e in examples} == {
      composed: composed,
      apart: apart,
  }


def test_an_image_without_a_mask_is_named(tmp_path):
  split_of(tmp_path, *np.zeros((3, 4, 6, 3), np.uint8))
  (tmp_path / 'masks/1.png').unlink()
  with pytest.raises(FileNotFoundError, match='1 of 3 images .*images/1.png'):
    files.pair(tmp_path / 'images', tmp_path / 'masks')


def test_two_images_of_one_name_are_named(tmp_path):
  split_of(tmp_path, np.zeros((4, 6, 3), np.uint8))
  write(tmp_path / 'images/0.bmp', np.zeros((4, 6, 3), np.uint8))
  with pytest.raises(ValueError, match='images/0.bmp and .*images/0.png'):
    files.pair(tmp_path / 'images', tmp_path / 'masks')


def test_missing_and_empty_folders_are_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='images is missing'):
    files.pair(tmp_path / 'images', tmp_path / 'masks')
  (tmp_path / 'images').mkdir()
  with pytest.raises(FileNotFoundError, match=r'images has no files .*\.png'):
    files.pair(tmp_path / 'images', tmp_path / 'masks')


def test_a_list_of_examples_names_what_is_missing(tmp_path):
  paths = tmp_path / 'list.txt', tmp_path / 'i/*.png', tmp_path / 'm/*.png'
  with pytest.raises(FileNotFoundError, match='list.txt is missing'):
    files.read_list(*paths)
  paths[0].touch()
  with pytest.raises(FileNotFoundError, match='list.txt is empty'):
    files.read_list(*paths)
  paths[0].write_text('a\n')
  with pytest.raises(FileNotFoundError, match='2 of 2 files .*i/a.png'):
    files.read_list(*paths)


def test_a_list_of_examples_is_utf_8_with_or_without_a_mark(tmp_path):
  write(tmp_path / 'i/ä.png', np.zeros((2, 2), np.uint8))
  path = tmp_path / 'list.txt'
  folders = tmp_path / 'i/*.png', tmp_path / 'i/*.png'
  for encoding in ('utf-8', 'utf-8-sig'):
    path.write_bytes('ä\n'.encode(encoding))
    assert [e.name for e in files.read_list(path, *folders)] == ['ä']
  path.write_bytes('ä\n'.encode('latin-1'))
  with pytest.raises(ValueError, match='list.txt: not UTF-8'):
    files.read_list(path, *folders)


def test_folders_of_a_list_may_have_a_star_in_their_names(tmp_path):
  root = tmp_path / 'a*b'
  write(root / 'i/x.png', np.zeros((4, 6, 3), np.uint8))
  write(root / 'm/x.png', np.zeros((4, 6), np.uint8))
  (root / 'list.txt').write_text('x\n')
  (example,) = files.read_list(
      root / 'list.txt', root / 'i/*.png', root / 'm/*.png'
  )
  assert str(example.image) == str(root / 'i/x.png')
  assert str(example.mask) == str(root / 'm/x.png')
