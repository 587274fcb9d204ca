import io
import os
import pathlib
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
from PIL import Image
from PIL import ImageOps
import pytest
import tifffile

from segjax.data import image
from segjax.data import label_map
from segjax.data.image import BadExample

ROOT = pathlib.Path(__file__).parents[2]
IDS = (np.arange(12 * 20).reshape(12, 20) % 7).astype(np.uint8)


def pillow(array, kind, mode=None, **options):
  """Returns the content of a file that Pillow has written."""
  buffer = io.BytesIO()
  Image.fromarray(array, mode).save(buffer, kind, **options)
  return buffer.getvalue()


def tiff(*arrays, bigtiff=False, byteorder='<', **options):
  """Returns the content of a TIFF with a page for each array."""
  buffer = io.BytesIO()
  with tifffile.TiffWriter(
      buffer, bigtiff=bigtiff, byteorder=byteorder
  ) as writer:
    for array in arrays:
      writer.write(array, **options)
  return buffer.getvalue()


def indexed(array, palette, kind):
  picture = Image.fromarray(array)
  picture.putpalette(np.ravel(palette).astype(np.uint8).tobytes())
  buffer = io.BytesIO()
  picture.save(buffer, kind)
  return buffer.getvalue()


def png(width, height, bits, kind, rows, *chunks, checksum=0):
  """Returns a PNG, with `checksum` changed in that of zlib."""
  packed = zlib.compress(rows)
  packed = packed[:-1] + bytes([packed[-1] ^ checksum])
  header = struct.pack('>IIBBBBB', width, height, bits, kind, 0, 0, 0)
  data = b'\x89PNG\r\n\x1a\n'
  for name, body in (
      *((b'IHDR', header), *chunks, (b'IDAT', packed)),
      (b'IEND', b''),
  ):
    data += struct.pack('>I', len(body)) + name + body
    data += struct.pack('>I', zlib.crc32(name + body))
  return data


@pytest.fixture
def file(tmp_path):
  """Writes a content, and returns the path."""

  def write(data):
    path = tmp_path / 'file.dat'
    path.write_bytes(data)
    return path

  return write


def bands(count, dtype=np.uint8):
  return np.stack([IDS.astype(dtype) * (i + 1) for i in range(count)], -1)


@pytest.mark.parametrize('count', [1, 2, 3, 4, 5, 200])
@pytest.mark.parametrize('planar', ['contig', 'separate'])
@pytest.mark.parametrize(
    'options',
    [
        {},
        {'compression': 'lzw', 'tile': (16, 16)},
        {'compression': 'zlib', 'predictor': True, 'byteorder': '>'},
        {'compression': 'zstd', 'bigtiff': True},
    ],
)
def test_bands_of_a_tiff_are_read_as_they_are(file, count, planar, options):
  expected = bands(count, np.uint16)
  written = expected
  if planar == 'separate':
    written = np.moveaxis(expected, -1, 0)
  if count > 1:
    options = options | {'planarconfig': planar}
  else:
    written = expected[..., 0]
  path = file(tiff(written, photometric='minisblack', **options))
  found = image.read_image(path)
  assert found.dtype == np.uint16
  np.testing.assert_array_equal(found, expected)


def test_a_fourth_band_changes_no_other(file):
  expected = bands(4)
  for extra in ('unspecified', 'assocalpha', 'unassalpha'):
    path = file(tiff(expected, photometric='rgb', extrasamples=[extra]))
    np.testing.assert_array_equal(image.read_image(path), expected)


@pytest.mark.parametrize('dtype', ['i2', 'u4', 'i4', 'f2', 'f4', 'f8'])
def test_numbers_of_a_tiff_become_float32(file, dtype):
  found = image.read_image(file(tiff(IDS.astype(dtype))))
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found[..., 0], IDS)


@pytest.mark.parametrize('dtype', ['u1', 'i2', 'u2', 'i4', 'u4'])
def test_ids_of_a_tiff_are_as_they_are(file, dtype):
  np.testing.assert_array_equal(
      image.read_mask(file(tiff(IDS.astype(dtype)))), IDS
  )


def four_bits():
  """Returns a TIFF of 4 bits a sample, whose values are 1 and 3."""
  tags = (256, 3, 2), (257, 3, 1), (258, 3, 4), (259, 3, 1), (262, 3, 1)
  tags = (*tags, (273, 4, 8), (277, 3, 1), (278, 3, 1), (279, 4, 1))
  entries = b''.join(struct.pack('<HHII', t, k, 1, v) for t, k, v in tags)
  directory = struct.pack('<H', len(tags)) + entries + bytes(4)
  return b'II*\0' + struct.pack('<I', 10) + b'\x13\0' + directory


def test_samples_of_few_bits_are_no_shades(file):
  path = file(four_bits())
  assert image.read_image(path)[..., 0].tolist() == [[1, 3]]
  assert image.read_mask(path).tolist() == [[1, 3]]
  # As colours they are what a viewer shows.
  assert image.read_mask(path, colors=True)[..., 0].tolist() == [[17, 51]]


def test_a_tiff_of_0_for_white_keeps_its_samples_and_is_no_mask(file):
  path = file(tiff(IDS, photometric='miniswhite'))
  np.testing.assert_array_equal(image.read_image(path)[..., 0], IDS)
  with pytest.raises(BadExample, match='file.dat: a TIFF in which 0 is white'):
    image.read_mask(path)


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (lambda: pillow(bands(4), 'tiff', 'CMYK'), 'of SEPARATED samples'),
        (lambda: tiff(IDS.astype('c8')), 'of complex64 numbers'),
        (lambda: indexed(IDS, bands(3)[:1, :7], 'tiff'), 'of indices'),
    ],
)
def test_a_tiff_that_is_not_read_says_why(file, data, message):
  with pytest.raises(BadExample, match=f'file.dat: a TIFF {message}'):
    image.read_image(file(data()))


def test_a_tiff_of_an_unknown_compression_is_an_error(file):
  data = tiff(IDS, compression='zlib')
  tag = struct.pack('<HHIH', 259, 3, 1, 8)
  assert data.count(tag) == 1
  path = file(data.replace(tag, struct.pack('<HHIH', 259, 3, 1, 32908)))
  for read in image.read_image, image.read_mask:
    with pytest.raises(BadExample, match=r'file\.dat'):
      read(path)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_the_tag_orientation_of_a_tiff_turns_nothing(file, orientation):
  path = file(tiff(IDS, extratags=[(274, 'H', 1, orientation, True)]))
  np.testing.assert_array_equal(image.read_image(path)[..., 0], IDS)


LOSSY = {
    'JPEG': lambda: pillow(IDS, 'jpeg', quality=95),
    'lossy WebP': lambda: pillow(bands(3), 'webp', quality=95),
    'lossy WebP with alpha': lambda: pillow(bands(4), 'webp', quality=95),
    'JPEG2000': lambda: pillow(IDS, 'jpeg2000'),
    'TIFF of JPEG': lambda: tiff(IDS, compression='jpeg'),
    'TIFF of WEBP': lambda: tiff(bands(3), compression='webp'),
    'TIFF of JPEG2000': lambda: tiff(IDS, compression='jpeg2000'),
    'TIFF of LERC': lambda: tiff(IDS, compression='lerc'),
    'TIFF of JPEGXL': lambda: tiff(IDS, compression='jpegxl'),
}


@pytest.mark.parametrize('name', LOSSY)
@pytest.mark.parametrize('colors', [True, False])
def test_a_mask_that_may_be_altered_is_refused_by_its_content(
    file, name, colors
):
  path = file(LOSSY[name]())
  image.read_image(path)
  kind = name.removesuffix(' with alpha')
  with pytest.raises(BadExample, match=f'file.dat: {kind} alters the values'):
    image.read_mask(path, colors=colors)


@pytest.mark.parametrize(
    'data',
    [
        lambda: pillow(np.dstack([IDS] * 3), 'webp', lossless=True),
        lambda: pillow(IDS, 'png'),
        lambda: pillow(IDS, 'bmp'),
        lambda: pillow(IDS, 'gif'),
        lambda: pillow(IDS, 'ppm'),
        *(
            lambda name=name: tiff(IDS, compression=name)
            for name in ('lzw', 'zlib', 'packbits', 'lzma', 'zstd', 'png')
        ),
        lambda: pillow(IDS, 'tiff', compression='tiff_deflate'),
    ],
)
def test_a_mask_that_is_stored_without_loss_is_read(file, data):
  np.testing.assert_array_equal(image.read_mask(file(data())), IDS)


def as_colors(greys):
  return np.repeat(greys[..., None], 3, -1)


FORMATS = ['png', 'bmp', 'gif', 'tiff']


@pytest.mark.parametrize('kind', FORMATS)
@pytest.mark.parametrize('value', [0, 255])
def test_black_and_white_are_the_same_colours_in_every_format(
    file, kind, value
):
  grey = np.full((8, 8), value, np.uint8)
  files = [
      pillow(grey, kind),
      pillow(as_colors(grey), kind),
      indexed(grey * 0, [[value] * 3], kind),
      indexed(grey * 0 + 1, [[9, 8, 7], [value] * 3], kind),
  ]
  if kind == 'png':
    files.append(pillow(np.dstack([grey, grey]), kind, 'LA'))
    files.append(
        png(
            8,
            8,
            1,
            0,
            b'\0' + bytes([value]) * 1 + (b'\0' + bytes([value])) * 7,
        )
    )
  for data in files:
    np.testing.assert_array_equal(
        image.read_mask(file(data), colors=True), as_colors(grey)
    )


@pytest.mark.parametrize('kind', FORMATS)
def test_a_frame_of_one_class_is_that_class_in_every_format(file, kind):
  classes = [
      {'name': 'leaf', 'color': [48, 112, 32]},
      {'name': 'ground', 'color': [0, 0, 0]},
  ]
  labels = label_map.parse({'classes': classes}, 'dataset.json')
  black = np.zeros((8, 8), np.uint8)
  for data in (
      pillow(black, kind),
      pillow(as_colors(black), kind),
      indexed(black, [[0, 0, 0]], kind),
  ):
    mask = image.read_mask(file(data), colors=labels.color_coded)
    assert (labels.apply(mask, 'mask') == 1).all()


def test_grey_ids_of_a_colour_coded_set_are_told_how_to_be_read(file):
  classes = [
      {'name': 'leaf', 'color': [48, 112, 32]},
      {'name': 'ground', 'color': [0, 0, 0]},
  ]
  labels = label_map.parse({'classes': classes}, 'dataset.json')
  mask = image.read_mask(file(pillow(IDS, 'png')), colors=True)
  with pytest.raises(BadExample, match="greys.*give the classes 'ids'"):
    labels.apply(mask, 'mask')


@pytest.mark.parametrize('kind', FORMATS)
@pytest.mark.parametrize('greys', [(0, 3, 7, 9), (0, 255), (1, 0)])
def test_a_palette_of_greys_shows_its_greys_or_is_refused(file, kind, greys):
  indices = (np.arange(64).reshape(8, 8) % len(greys)).astype(np.uint8)
  palette = [[grey] * 3 for grey in greys]
  path = file(indexed(indices, palette, kind))
  found = image.read_mask(path, colors=True)
  np.testing.assert_array_equal(found, np.array(palette)[indices])
  if kind == 'bmp' and greys == (0, 255):  # Its way to write two greys.
    found = image.read_mask(path)
    np.testing.assert_array_equal(found, np.array(greys)[indices])
    return
  with pytest.raises(BadExample, match='file.dat: its palette of greys shows'):
    image.read_mask(path)


@pytest.mark.parametrize('kind', FORMATS)
def test_a_palette_of_colours_or_of_equal_greys_gives_its_indices(file, kind):
  for palette in (np.arange(21).reshape(7, 3), as_colors(np.arange(7))):
    path = file(indexed(IDS, palette, kind))
    np.testing.assert_array_equal(image.read_mask(path), IDS)


@pytest.mark.parametrize('count', [2, 4, 5])
@pytest.mark.parametrize('kind', ['npy', 'tiff'])
@pytest.mark.parametrize('colors', [True, False])
def test_a_mask_of_channels_that_are_no_colours_is_refused(
    file, count, kind, colors
):
  # In one-hot of 4 the first three channels are equal where class 3 is.
  mask = np.zeros((8, 8, count), np.uint8)
  mask[..., -1] = 1
  buffer = io.BytesIO()
  np.save(buffer, mask)
  data = tiff(mask, photometric='minisblack', planarconfig='contig')
  path = file(buffer.getvalue() if kind == 'npy' else data)
  with pytest.raises(BadExample, match=rf'file.dat: .* uint8 \(8, 8, {count}'):
    image.read_mask(path, colors=colors)


@pytest.mark.parametrize('kind', ['png', 'tiff'])
def test_alpha_of_grey_and_colour_masks_is_dropped(file, kind):
  alpha = np.full_like(IDS, 200)
  grey = file(pillow(np.dstack([IDS, alpha]), kind, 'LA'))
  np.testing.assert_array_equal(image.read_mask(grey), IDS)
  colors = np.dstack([IDS, IDS + 1, IDS + 2])
  path = file(pillow(np.dstack([colors, alpha]), kind))
  np.testing.assert_array_equal(image.read_mask(path, colors=True), colors)


def frames(kind, count=3):
  pictures = [Image.fromarray(as_colors(IDS * 30 // i)) for i in (1, 2, 3)]
  buffer = io.BytesIO()
  options = {'lossless': True} if kind == 'webp' else {}
  more = pictures[1:count]
  pictures[0].save(buffer, kind, save_all=True, append_images=more, **options)
  return buffer.getvalue()


SEVERAL = {
    'gif': lambda: frames('gif'),
    'png': lambda: frames('png'),
    'webp': lambda: frames('webp'),
    'tiff': lambda: frames('tiff'),
    'bigtiff': lambda: tiff(IDS, IDS, IDS, bigtiff=True),
    'imagej': lambda: imagej(),
    'sizes': lambda: tiff(IDS, IDS[:5], IDS[:6]),
}


def imagej():
  """Returns a stack behind one header."""
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, np.stack([IDS] * 3), imagej=True)
  return buffer.getvalue()


@pytest.mark.parametrize('name', SEVERAL)
@pytest.mark.parametrize('read', [image.read_image, image.read_mask])
def test_a_file_of_several_images_is_refused_with_their_number(
    file, name, read
):
  with pytest.raises(BadExample, match=r'file.dat: the file has 3 (pages|fr)'):
    read(file(SEVERAL[name]()))


@pytest.mark.parametrize('kind', ['gif', 'png', 'webp', 'tiff'])
def test_a_file_of_one_frame_is_read(file, kind):
  expected = as_colors(IDS * 30)
  path = file(frames(kind, count=1))
  np.testing.assert_array_equal(image.read_image(path), expected)


def test_overviews_and_masks_of_a_tiff_are_no_pages(file):
  buffer = io.BytesIO()
  with tifffile.TiffWriter(buffer) as writer:
    writer.write(IDS, subifds=1)
    writer.write(IDS[::2, ::2], subfiletype=1)
    writer.write(IDS[::4, ::4], subfiletype=1)
    writer.write(IDS > 0, subfiletype=4)
  path = file(buffer.getvalue())
  np.testing.assert_array_equal(image.read_mask(path), IDS)


def spoilt(data, rng):
  """Returns a content with a zero tail, and some with one bit flipped."""
  for share in (0.98, 0.9, 0.7, 0.5):
    kept = int(len(data) * share)
    yield data[:kept] + bytes(len(data) - kept)
  for _ in range(60):
    flipped = bytearray(data)
    flipped[rng.integers(8, len(data))] ^= 1 << rng.integers(8)
    yield bytes(flipped)


@pytest.mark.parametrize(
    'data',
    [
        lambda mask: pillow(mask, 'png'),
        lambda mask: pillow(as_colors(mask), 'png'),
        lambda mask: indexed(mask, np.arange(30).reshape(10, 3), 'png'),
    ],
)
@pytest.mark.parametrize('read', [image.read_image, image.read_mask])
def test_a_png_with_a_wrong_checksum_is_an_error(file, data, read):
  y, x = np.mgrid[:90, :120]
  whole = data((y // 20 + x // 30).astype(np.uint8))
  for damaged in spoilt(whole, np.random.default_rng(0)):
    with pytest.raises(BadExample, match=r'file\.dat: damaged or no image'):
      read(file(damaged))


@pytest.mark.parametrize('kind', [0, 3])
def test_a_png_with_a_wrong_checksum_of_zlib_is_an_error(file, kind):
  rows = b''.join(b'\0' + row.tobytes() for row in IDS)
  palette = [(b'PLTE', bytes(range(30)))] if kind else []
  sides = IDS.shape[1], IDS.shape[0]
  path = file(png(*sides, 8, kind, rows, *palette))
  np.testing.assert_array_equal(image.read_mask(path), IDS)
  with pytest.raises(BadExample, match=r'file\.dat: damaged'):
    image.read_mask(file(png(*sides, 8, kind, rows, *palette, checksum=1)))


@pytest.mark.parametrize('kind', [0, 3])
@pytest.mark.parametrize('lacking', [slice(0, -21 * 3), slice(0, -1)])
def test_a_png_that_lacks_rows_is_an_error(file, kind, lacking):
  rows = b''.join(b'\0' + row.tobytes() for row in IDS)
  palette = [(b'PLTE', bytes(range(30)))] if kind else []
  with pytest.raises(BadExample, match=r'file\.dat: damaged.*enough image'):
    image.read_mask(file(png(20, 12, 8, kind, rows[lacking], *palette)))


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_indices_of_few_bits_are_no_shades(file, bits):
  indices = IDS % 2**bits
  places = np.arange(bits)[::-1]
  packed = np.packbits(((indices[..., None] >> places) & 1).reshape(12, -1), -1)
  rows = b''.join(b'\0' + row.tobytes() for row in packed)
  colors = np.arange(3 * 2**bits, dtype=np.uint8).reshape(-1, 3) * 5
  path = file(png(20, 12, bits, 3, rows, (b'PLTE', colors.tobytes())))
  np.testing.assert_array_equal(image.read_mask(path), indices)
  np.testing.assert_array_equal(image.read_image(path), colors[indices])

  few = (b'PLTE', colors[:1].tobytes())
  with pytest.raises(BadExample, match=r'damaged.* index \d+, but 1 colours'):
    image.read_mask(file(png(20, 12, bits, 3, rows, few)))
  with pytest.raises(BadExample, match='indices, but no palette'):
    image.read_mask(file(png(20, 12, bits, 3, rows)))


@pytest.mark.parametrize('progressive', [False, True])
@pytest.mark.parametrize('share', [0.98, 0.7, 0.3])
@pytest.mark.parametrize('tail', [b'', b'\0', b'\xff', b'\xa5'])
def test_a_jpeg_without_an_end_is_an_error(file, progressive, share, tail):
  array = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
  whole = pillow(array, 'jpeg', progressive=progressive)
  thumbnail = pillow(IDS, 'jpeg')  # It has an end of its own.
  length = struct.pack('>H', len(thumbnail) + 2)
  whole = whole[:2] + b'\xff\xe1' + length + thumbnail + whole[2:]
  expected = image.read_image(file(whole))
  padded = image.read_image(file(whole + bytes(50)))
  np.testing.assert_array_equal(padded, expected)
  kept = int(len(whole) * share)
  with pytest.raises(BadExample, match=r'file\.dat: damaged .* is truncated'):
    image.read_image(file(whole[:kept] + tail * (len(whole) - kept)))


@pytest.mark.parametrize('dtype', ['>u2', '>f4'])
@pytest.mark.parametrize('kind', ['npy', 'tiff'])
def test_the_order_of_bytes_changes_no_type(file, dtype, kind):
  array = as_colors(IDS).astype(dtype)
  buffer = io.BytesIO()
  np.save(buffer, array)
  data = tiff(array, byteorder='>', photometric='rgb')
  found = image.read_image(file(data if kind == 'tiff' else buffer.getvalue()))
  assert found.dtype == np.dtype(dtype).newbyteorder('=')
  assert found.dtype.isnative
  np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize('compression', ['zlib', 'lzma'])
def test_a_tiff_with_a_wrong_checksum_is_an_error(file, compression):
  data = tiff(IDS, compression=compression)
  with tifffile.TiffFile(io.BytesIO(data)) as opened:
    page = opened.pages[0]
    end = page.dataoffsets[0] + page.databytecounts[0]
  damaged = bytearray(data)
  damaged[end - 1] ^= 1
  with pytest.raises(BadExample, match=r'file\.dat: damaged'):
    image.read_mask(file(bytes(damaged)))


def test_bytes_behind_the_end_of_a_png_are_no_damage(file):
  path = file(pillow(IDS, 'png') + b'trailer')
  np.testing.assert_array_equal(image.read_mask(path), IDS)


def turned(orientation, kind, array):
  """Returns a file that says by EXIF how it is to be turned."""
  exif = Image.Exif()
  exif[0x0112] = orientation
  return pillow(array, kind, exif=exif)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('kind', ['jpeg', 'png', 'webp', 'tiff'])
def test_an_image_is_turned_where_it_is_asked_for(file, orientation, kind):
  y, x = np.mgrid[:32, :48]
  stored = np.dstack([y * 7, x * 5, 255 - y * 7]).astype(np.uint8)
  path = file(turned(orientation, kind, stored))
  assert image.read_orientation(path) == orientation
  found = image.read_image(path).astype(int)
  assert np.abs(found - stored).mean() < 8
  # The same by Pillow, of the pixels that were read.
  with Image.open(io.BytesIO(turned(orientation, 'png', stored))) as picture:
    expected = np.array(ImageOps.exif_transpose(picture)).astype(int)
  upright = image.read_image(path, upright=True).astype(int)
  assert upright.shape == expected.shape
  assert np.abs(upright - expected).mean() < 8


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'webp', 'tiff', 'bmp', 'gif'])
def test_an_image_without_orientation_is_upright(file, kind):
  path = file(pillow(IDS, kind))
  assert image.read_orientation(path) == 1
  np.testing.assert_array_equal(
      image.read_image(path, upright=True), image.read_image(path)
  )


READ = """
import sys
from segjax.data import image
for path in sys.argv[1:]:
  try:
    image.read_image(path)
  except image.BadExample:
    pass
"""


@pytest.mark.parametrize('kind', ['grey', 'colour', 'cmyk'])
def test_a_jpeg_is_decoded_as_by_opencv(file, kind):
  y, x = np.mgrid[:37, :53]
  colors = np.dstack([x * 4, y * 6, x + y]).astype(np.uint8)
  array = colors[..., 0] if kind == 'grey' else colors
  data = pillow(array, 'jpeg', quality=80)
  if kind == 'cmyk':
    buffer = io.BytesIO()
    Image.fromarray(colors).convert('CMYK').save(buffer, 'jpeg')
    data = buffer.getvalue()
  expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  expected = expected.reshape(37, 53, -1)[..., ::-1]
  np.testing.assert_array_equal(image.read_image(file(data)), expected)


def test_decoders_write_nothing_to_the_log(tmp_path):
  geo = [(33550, 'd', 3, (1.0, 1.0, 0.0), True), (42113, 's', 0, 'nan', True)]
  jpeg = pillow(as_colors(IDS), 'jpeg')
  odd_profile = [(b'iCCP', b'x\0\0' + zlib.compress(bytes(200)))]
  contents = {
      'geo.tif': tiff(IDS, extratags=geo),
      'profile.png': png(1, 1, 8, 0, b'\0\1', *odd_profile),
      'damaged.png': pillow(IDS, 'png')[:-30] + bytes(30),
      'cut.jpg': jpeg[: len(jpeg) // 2],
      'spoilt.jpg': jpeg[:-40] + bytes(38) + jpeg[-2:],
      'cut.tif': tiff(IDS)[:-20],
      'cut.webp': pillow(as_colors(IDS), 'webp')[:60],
      'cut.bmp': pillow(as_colors(IDS), 'bmp')[:90],
      'no.png': b'no image',
  }
  for name, content in contents.items():
    (tmp_path / name).write_bytes(content)
  process = subprocess.run(
      [sys.executable, '-c', READ, *tmp_path.iterdir()],
      capture_output=True,
      text=True,
      env={k: v for k, v in os.environ.items() if k != 'OPENCV_LOG_LEVEL'},
      cwd=ROOT,
  )
  assert process.returncode == 0, process.stderr
  assert process.stderr == ''


def test_a_fourth_band_is_dropped_only_if_it_is_alpha(file):
  colors = bands(4)
  for extra in ('assocalpha', 'unassalpha'):
    path = file(tiff(colors, photometric='rgb', extrasamples=[extra]))
    found = image.read_image(path, channels=3)
    np.testing.assert_array_equal(found, colors[..., :3])
  found = image.read_image(file(pillow(colors, 'png')), channels=3)
  np.testing.assert_array_equal(found, colors[..., :3])
  path = file(tiff(colors, photometric='rgb', extrasamples=['unspecified']))
  with pytest.raises(BadExample, match='4 channels, expected 3; none .* alpha'):
    image.read_image(path, channels=3)
  found = image.read_image(path, channels=4)
  np.testing.assert_array_equal(found, colors)
