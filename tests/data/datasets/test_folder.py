import json

import numpy as np
from PIL import Image
import pytest

from segjax.data import datasets
from segjax.data import image
from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE

RED, GREEN, GREY = (255, 0, 0), (0, 255, 0), (9, 9, 9)


def write(path, array, palette=None):
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.suffix == '.npy':
    np.save(path, array)
  elif path.suffix == '.png':
    image.write_png(path, array, palette)
  else:
    Image.fromarray(array).save(path)


def write_split(root, *masks, split='train', palette=None):
  for i, mask in enumerate(masks):
    mask = np.array(mask, np.uint8)
    pixels = np.ones((*mask.shape[:2], 3), np.uint8)
    write(root / split / f'images/{i}.png', pixels)
    write(root / split / f'masks/{i}.png', mask, palette)


def write_json(root, **content):
  (root / 'dataset.json').write_text(json.dumps(content))


def labels(root, split='train'):
  dataset = datasets.load('folder', split, root)
  return [example['label'].tolist() for example in dataset]


@pytest.mark.parametrize('name', ['data[1]', 'a*b', 'a?', 'a\\b'])
def test_the_root_may_have_any_name(tmp_path, name):
  write_split(tmp_path / name, [[0, 1]])
  write_split(tmp_path / name, [[1, 0]], split='val')
  assert labels(tmp_path / name) == [[[0, 1]]]
  assert labels(tmp_path / name, 'val') == [[[1, 0]]]


@pytest.mark.parametrize('image_suffix', ['.png', '.jpg', '.webp', '.npy'])
@pytest.mark.parametrize('mask_suffix', ['.png', '.tif', '.bmp', '.npy'])
def test_formats_mix(tmp_path, image_suffix, mask_suffix):
  write(
      tmp_path / f'train/images/a{image_suffix}', np.zeros((2, 3, 3), np.uint8)
  )
  mask = np.array([[0, 1, 2]] * 2, np.uint8)
  write(tmp_path / f'train/masks/a{mask_suffix}', mask)
  assert labels(tmp_path) == [mask.tolist()]


@pytest.mark.parametrize('shape', [(2, 3), (2, 3, 3), (2, 3, 6)])
def test_images_may_be_16_bit_and_have_any_channels(tmp_path, shape):
  write(tmp_path / 'train/images/a.npy', np.full(shape, 60_000, np.uint16))
  write(tmp_path / 'train/masks/a.png', np.zeros((2, 3), np.uint8))
  found = datasets.load('folder', 'train', tmp_path)[0]['image']
  assert found.dtype == np.uint16
  assert found.shape == (2, 3, 1 if len(shape) == 2 else shape[2])


def test_without_a_json_the_ids_of_train_are_counted_and_shown(
    tmp_path, caplog
):
  write_split(tmp_path, [[0, 3]], [[3, 255]])
  write_split(tmp_path, [[3, 0]], split='val')
  assert labels(tmp_path) == [[[0, 1]], [[1, IGNORE]]]
  assert labels(tmp_path, 'val') == [[[1, 0]]]
  assert '3:  50.00% of the pixels, class 1' in caplog.text
  assert '255:  25.00% of the pixels, ignored' in caplog.text


def test_without_a_json_0_and_255_are_two_classes(tmp_path):
  write_split(tmp_path, [[0, 255]], [[0, 0]])
  dataset = datasets.load('folder', 'train', tmp_path)
  assert dataset.label_map.names == ('background', 'foreground')
  assert labels(tmp_path) == [[[0, 1]], [[0, 0]]]


def test_without_a_json_an_id_that_train_lacks_is_an_error(tmp_path):
  write_split(tmp_path, [[0, 1]])
  write_split(tmp_path, [[0, 2]], split='val')
  with pytest.raises(BadExample, match=r'val/masks/0.png: .* 2 \(1 px\)'):
    labels(tmp_path, 'val')


def test_without_a_json_coloured_masks_are_an_error(tmp_path):
  write_split(tmp_path, [[RED, GREEN]])
  with pytest.raises(ValueError, match='masks/0.png: a coloured mask'):
    labels(tmp_path)


def test_without_a_json_jpeg_masks_are_an_error(tmp_path):
  write(tmp_path / 'train/images/a.png', np.zeros((2, 3, 3), np.uint8))
  write(tmp_path / 'train/masks/a.jpg', np.zeros((2, 3), np.uint8))
  with pytest.raises(ValueError, match='masks/a.jpg: JPEG alters'):
    labels(tmp_path)


def test_the_json_maps_ids(tmp_path):
  write_split(tmp_path, [[7, 8, 9, 0]])
  classes = [{'name': 'a', 'ids': 9}, {'name': 'b', 'ids': [7, 8]}]
  write_json(tmp_path, classes=classes, ignore=0)
  assert labels(tmp_path) == [[[1, 1, 0, IGNORE]]]


def test_indexed_and_rgb_masks_are_mapped_by_colour(tmp_path):
  classes = [{'name': 'a', 'color': RED}, {'name': 'b', 'color': GREEN}]
  write_json(tmp_path, classes=classes, ignored_colors=[GREY])
  write_split(tmp_path, [[RED, GREEN, GREY]])
  assert labels(tmp_path) == [[[0, 1, IGNORE]]]
  write_split(tmp_path, [[0, 1, 2]], palette=[GREEN, GREY, RED])
  assert labels(tmp_path) == [[[1, IGNORE, 0]]]


def test_with_ids_in_the_json_indexed_masks_hold_ids(tmp_path):
  classes = [
      {'name': 'a', 'color': RED, 'ids': [1]},
      {'name': 'b', 'color': GREEN, 'ids': [0]},
  ]
  write_json(tmp_path, classes=classes)
  write_split(tmp_path, [[0, 1]], palette=[GREY, GREY])
  assert labels(tmp_path) == [[[1, 0]]]


def test_grey_masks_of_a_colour_coded_set_mean_greys(tmp_path):
  classes = [{'name': 'a', 'color': RED}, {'name': 'b', 'color': GREY}]
  write_json(tmp_path, classes=classes)
  write_split(tmp_path, [[9, 9]], [[0, 1]])
  dataset = datasets.load('folder', 'train', tmp_path)
  assert dataset[0]['label'].tolist() == [[1, 1]]
  with pytest.raises(BadExample, match=r"\(0, 0, 0\).*give the classes 'ids'"):
    dataset[1]


@pytest.mark.parametrize('text', ['{"classes": ', '{"classes": []}', '[]'])
def test_a_wrong_json_is_named(tmp_path, text):
  write_split(tmp_path, [[0, 1]])
  (tmp_path / 'dataset.json').write_text(text)
  with pytest.raises(ValueError, match='dataset.json: '):
    labels(tmp_path)


def test_splits_are_the_folders_with_images(tmp_path):
  write_split(tmp_path, [[0, 1]], split='fold1')
  write_split(tmp_path, [[0, 1]])
  with pytest.raises(ValueError, match="no split 'val'; it has fold1, train"):
    labels(tmp_path, 'val')


def test_a_folder_of_masks_that_is_missing_is_named(tmp_path):
  write(tmp_path / 'train/images/a.png', np.zeros((2, 3, 3), np.uint8))
  with pytest.raises(FileNotFoundError, match='train/masks is missing'):
    labels(tmp_path)


def test_proposals_lie_beside_the_images(tmp_path):
  write_split(tmp_path, [[0, 1, 1], [0, 0, 1]], [[1, 0, 1]])
  folder = tmp_path / 'train/proposals'
  folder.mkdir()
  np.savez(folder / '0.npz', boxes=[[0, 1, 2, 3]])
  with pytest.raises(FileNotFoundError, match='1 of 2 files.*proposals/1.npz'):
    datasets.load('folder', 'train', tmp_path, proposals=2)
  np.savez(folder / '1.npz', regions=np.ones((1, 3, 5)))
  dataset = datasets.load('folder', 'train', tmp_path, proposals=2)
  assert dataset.proposals == 2
  first, second = (example['proposals'] for example in dataset)
  assert first[..., 0].tolist() == [[0, 1, 1], [0, 1, 1]]
  assert not first[..., 1].any()
  assert second.shape == (1, 3, 2)


def test_without_being_asked_no_proposal_is_read(tmp_path):
  write_split(tmp_path, [[0, 1, 1]])
  dataset = datasets.load('folder', 'train', tmp_path)
  assert dataset.proposals == 0
  assert 'proposals' not in dataset[0]


def test_hidden_parts_are_no_examples_and_linked_ones_are(tmp_path):
  root = tmp_path / 'set [1]'
  write_split(root, [[0, 1]], [[1, 1]])
  for part in ('images', 'masks'):
    folder = root / 'train' / part
    (folder / '.ipynb_checkpoints').mkdir()
    (folder / '.ipynb_checkpoints/0-checkpoint.png').touch()
    (tmp_path / part).mkdir()
    (folder / '1.png').rename(tmp_path / part / '1.png')
    (folder / 'linked').symlink_to(tmp_path / part)
  (root / '.copy/images').mkdir(parents=True)
  (root / 'train/masks/2.png').touch()
  dataset = datasets.load('folder', 'train', root)
  assert [e.name for e in dataset.examples] == ['0', 'linked/1']
  assert dataset.left_out == (
      f'{root}/train/images: 1 hidden',
      f'{root}/train/masks: 1 without image, 1 hidden',
  )
  with pytest.raises(ValueError, match='it has train$'):
    datasets.load('folder', 'val', root)


@pytest.mark.parametrize(
    'encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-be', 'utf-32']
)
def test_a_json_may_be_any_unicode(tmp_path, encoding):
  write_split(tmp_path, [[0, 1]])
  text = json.dumps(
      {'classes': [{'name': 'Stra\u00dfe'}, {'name': '\u9053'}]},
      ensure_ascii=False,
  )
  (tmp_path / 'dataset.json').write_bytes(text.encode(encoding))
  labels = datasets.load('folder', 'train', tmp_path).label_map
  assert labels.names == ('Stra\u00dfe', '\u9053')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (
            '{"classes": [{"name": "Stra\u00dfe"}]}'.encode('latin-1'),
            'not UTF-8',
        ),
        (b'\xff\xfe{\x00"', 'not UTF-8'),
        (b'', 'not JSON'),
        (b'\x00\x01\x02', 'not JSON'),
        (b'[' * 20 + b'"', 'not JSON'),
        (b'{"classes": []} // all', 'not JSON'),
        (
            b'{"classes": [{"name": "a", "ids": 1, "ids": 2}]}',
            'not JSON, the key "ids" is given twice',
        ),
    ],
)
def test_a_json_that_cannot_be_read_is_named(tmp_path, content, message):
  write_split(tmp_path, [[0, 1]])
  (tmp_path / 'dataset.json').write_bytes(content)
  with pytest.raises(ValueError, match=f'dataset.json: {message}'):
    datasets.load('folder', 'train', tmp_path)


@pytest.mark.parametrize('stray', [1, 127, 254])
def test_without_a_json_a_stray_value_is_asked_about(tmp_path, stray):
  write_split(tmp_path, [[0, 255, 255]], [[stray, 255, 0]], [[0, 0, 255]])
  with pytest.raises(ValueError, match='in dataset.json') as error:
    datasets.load('folder', 'train', tmp_path)
  assert '2 of 3 hold 0 and 255 alone' in str(error.value)
  assert f'0: 4 px, {stray}: 1 px, 255: 4 px' in str(error.value)


def test_without_a_json_smoothed_edges_are_asked_about(tmp_path):
  edges = np.repeat(255, 1000)
  edges[:100] = np.arange(100) + 50
  edges[100:200] = 0
  write_split(tmp_path, edges.reshape(10, 100))
  with pytest.raises(ValueError, match='82 more, 146: 1 px'):
    datasets.load('folder', 'train', tmp_path)


def test_without_a_json_some_ignored_pixels_are_no_doubt(tmp_path):
  write_split(tmp_path, [[0, 1, 2, 255]], [[0, 0, 2, 2]], [[1, 1, 255, 255]])
  dataset = datasets.load('folder', 'train', tmp_path)
  assert dataset.label_map.ids == {0: 0, 1: 1, 2: 2, 255: IGNORE}
