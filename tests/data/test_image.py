import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image
import pytest

from segjax.data import image
from segjax.data.image import BadExample


def smooth(height, width, channels, dtype=np.uint8):
  """Returns a picture that survives JPEG."""
  y, x = np.mgrid[:height, :width]
  planes = [x * 3 + y, 200 - x, y * 4 + 10, x + y][:channels]
  return np.stack(planes, -1).astype(dtype)


def encode(suffix, pixels):
  """Writes RGB with OpenCV, which thinks in BGR."""
  if pixels.shape[2] >= 3:
    pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
  return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.mark.parametrize(
    ('suffix', 'channels', 'dtype'),
    [
        *[('.png', c, t) for c in (1, 3, 4) for t in (np.uint8, np.uint16)],
        *[('.tif', c, t) for c in (1, 3, 4) for t in (np.uint8, np.uint16)],
        ('.tif', 1, np.float32),
        ('.tif', 3, np.float32),
        ('.bmp', 1, np.uint8),
        ('.bmp', 3, np.uint8),
    ],
)
def test_lossless_files_come_back_as_they_were(
    tmp_path, suffix, channels, dtype
):
  pixels = smooth(20, 30, channels, dtype)
  path = tmp_path / f'a{suffix}'
  path.write_bytes(encode(suffix, pixels))
  found = image.read_image(path)
  assert found.dtype == dtype
  np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize('suffix', ['.jpg', '.webp'])
def test_lossy_files_keep_the_order_of_channels(tmp_path, suffix):
  pixels = smooth(40, 48, 3)
  (tmp_path / f'a{suffix}').write_bytes(encode(suffix, pixels))
  found = image.read_image(tmp_path / f'a{suffix}')
  assert np.abs(found.astype(int) - pixels).mean() < 8


@pytest.mark.parametrize('shape', [(5, 6), (5, 6, 1), (5, 6, 7)])
def test_npy_holds_any_number_of_channels(tmp_path, shape):
  pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
  np.save(tmp_path / 'a.npy', pixels)
  found = image.read_image(tmp_path / 'a.npy')
  np.testing.assert_array_equal(found, pixels.reshape(5, 6, -1))


def test_other_numbers_become_float32(tmp_path):
  np.save(tmp_path / 'a.npy', np.array([[-1.5, 2.0]]))
  found = image.read_image(tmp_path / 'a.npy')
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found[:, :, 0], [[-1.5, 2.0]])


def test_the_content_decides_the_format_not_the_suffix(tmp_path):
  pixels = smooth(8, 9, 3)
  (tmp_path / 'a.jpg').write_bytes(encode('.png', pixels))
  np.testing.assert_array_equal(image.read_image(tmp_path / 'a.jpg'), pixels)


@pytest.mark.filterwarnings('ignore::UserWarning')  # Pillow on TIFF.
@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.bmp', '.tif'])
def test_a_truncated_file_is_an_error_or_has_lost_nothing(tmp_path, suffix):
  path = tmp_path / f'cut{suffix}'
  whole = encode(suffix, smooth(64, 48, 3))
  path.write_bytes(whole)
  expected = image.read_image(path)
  errors = []
  for length in {*range(1, len(whole), len(whole) // 60 + 1), len(whole) - 1}:
    path.write_bytes(whole[:length])
    try:
      np.testing.assert_array_equal(image.read_image(path), expected)
    except BadExample as error:
      errors.append(str(error))
  assert len(errors) >= 30
  assert all(str(path) in error for error in errors)


def test_a_jpeg_cut_behind_the_half_is_an_error(tmp_path):
  whole = encode('.jpg', smooth(480, 640, 3))
  for share in (0.5, 0.9, 0.99):
    (tmp_path / 'a.jpg').write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BadExample, match='a.jpg: damaged'):
      image.read_image(tmp_path / 'a.jpg')


def test_bytes_behind_the_end_of_a_jpeg_are_no_damage(tmp_path):
  whole = encode('.jpg', smooth(20, 30, 3))
  (tmp_path / 'a.jpg').write_bytes(whole + b'trailer')
  assert image.read_image(tmp_path / 'a.jpg').shape == (20, 30, 3)


@pytest.mark.parametrize('read', [image.read_image, image.read_mask])
def test_missing_empty_and_foreign_files_are_errors(tmp_path, read):
  (tmp_path / 'empty.png').touch()
  (tmp_path / 'text.png').write_text('no picture')
  (tmp_path / 'objects.npy').write_bytes(b'\x93NUMPY\x01\x00')
  for name in ('missing.png', 'empty.png', 'text.png', 'objects.npy'):
    with pytest.raises(BadExample, match=name):
      read(tmp_path / name)


def test_a_mask_of_an_indexed_file_has_indices_or_colours(tmp_path):
  ids = np.array([[0, 1], [2, 1]], np.uint8)
  colors = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])
  image.write_png(tmp_path / 'a.png', ids, colors)
  np.testing.assert_array_equal(image.read_mask(tmp_path / 'a.png'), ids)
  found = image.read_mask(tmp_path / 'a.png', colors=True)
  np.testing.assert_array_equal(found, colors[ids])


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_a_grey_mask_in_three_channels_is_grey(tmp_path, dtype):
  ids = np.array([[0, 1], [2, 255]], dtype)
  image.write_png(tmp_path / 'a.png', np.stack([ids] * 3, -1))
  np.testing.assert_array_equal(image.read_mask(tmp_path / 'a.png'), ids)


def test_alpha_of_a_mask_is_dropped(tmp_path):
  pixels = smooth(4, 5, 4)
  image.write_png(tmp_path / 'a.png', pixels)
  found = image.read_mask(tmp_path / 'a.png')
  np.testing.assert_array_equal(found, pixels[:, :, :3])


def test_a_one_bit_mask_is_0_and_255(tmp_path):
  Image.fromarray(np.array([[True, False]])).save(tmp_path / 'a.png')
  np.testing.assert_array_equal(image.read_mask(tmp_path / 'a.png'), [[255, 0]])


def test_a_gif_mask_is_read(tmp_path):
  buffer = io.BytesIO()
  Image.fromarray(np.array([[0, 255]], np.uint8)).save(buffer, 'gif')
  (tmp_path / 'a.gif').write_bytes(buffer.getvalue())
  found = image.read_mask(tmp_path / 'a.gif', colors=True)
  np.testing.assert_array_equal(found.reshape(2, -1)[:, 0], [0, 255])


@pytest.mark.parametrize(
    'mask', [np.ones((2, 2), np.float32), np.ones((2, 2, 7), np.uint8)]
)
def test_a_mask_that_holds_no_ids_is_an_error(tmp_path, mask):
  np.save(tmp_path / 'a.npy', mask)
  with pytest.raises(BadExample, match='a.npy: a mask holds integers'):
    image.read_mask(tmp_path / 'a.npy')


def test_a_png_that_cannot_be_written_leaves_the_old_one(tmp_path):
  path = tmp_path / 'a.png'
  image.write_png(path, np.zeros((2, 2), np.uint8))
  before = path.read_bytes()
  with pytest.raises(cv2.error):
    image.write_png(path, np.zeros((2, 2, 7), np.uint8))
  assert path.read_bytes() == before
  assert list(tmp_path.iterdir()) == [path]


def png_header(width, height):
  """Returns the chunk of three 8-bit channels, from its name on."""
  chunk = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
  return chunk + struct.pack('>I', zlib.crc32(chunk))


@pytest.mark.parametrize(
    ('suffix', 'size', 'claimed'),
    [  # How the header writes the sides of an image of 30 x 20.
        ('.png', png_header(30, 20), png_header(30000, 20000)),
        ('.jpg', struct.pack('>HH', 20, 30), struct.pack('>HH', 20000, 30000)),
        ('.bmp', struct.pack('<ii', 30, 20), struct.pack('<ii', 30000, 20000)),
        (
            '.tif',
            struct.pack('<HHIHHHHIH', 256, 3, 1, 30, 0, 257, 3, 1, 20),
            struct.pack('<HHIHHHHIH', 256, 3, 1, 30000, 0, 257, 3, 1, 20000),
        ),
    ],
)
def test_too_many_pixels_are_refused_before_they_are_decoded(
    tmp_path, monkeypatch, suffix, size, claimed
):
  whole = encode(suffix, smooth(20, 30, 3))
  assert whole.count(size) == 1
  path = tmp_path / f'a{suffix}'
  path.write_bytes(whole.replace(size, claimed))
  monkeypatch.setattr(cv2, 'imdecode', None)
  with pytest.raises(
      BadExample, match=f'{path}: .* more than 178956970 pixels'
  ):
    image.read_image(path)
  with pytest.raises(BadExample, match='cut it into tiles'):
    image.read_mask(path)


@pytest.mark.parametrize('num_classes', [1, 2, 4, 15, 16, 17, 255])
def test_ignored_pixels_of_an_indexed_png_stay_ignored(tmp_path, num_classes):
  ids = np.array([[0, num_classes - 1, 255]], np.uint8)
  for palette in (np.zeros((num_classes, 3)), np.eye(num_classes, 3) * 255):
    image.write_png(tmp_path / 'a.png', ids, palette)
    with Image.open(tmp_path / 'a.png') as picture:
      np.testing.assert_array_equal(np.array(picture), ids)
    np.testing.assert_array_equal(image.read_mask(tmp_path / 'a.png'), ids)
    found = image.read_mask(tmp_path / 'a.png', colors=True)
    np.testing.assert_array_equal(found[0, 1], palette[-1])
    assert found[0, 2].tolist() == list(image.UNUSED)
