"""Decodes image files to the samples that they store, and verifies checksums.

PNG and TIFF are decoded by imagecodecs and tifffile, which raise if a checksum
is wrong; JPEG by imagecodecs, too; WebP and BMP by OpenCV; all other formats
and bitmaps of indices by Pillow. The content of a file decides its format, not
its suffix.
"""

import contextlib
import dataclasses
import io
import logging
import re
import struct
import warnings
import zlib

import cv2
import imagecodecs
import numpy as np
from PIL import Image
import tifffile

NUMPY = b'\x93NUMPY'  # First bytes of a .npy file.
PNG = b'\x89PNG\r\n\x1a\n'
TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
# Half a gigabyte in RGB, Pillow's limit as well. A small compressed file can
# hold an image that fills the memory.
MAX_PIXELS = 2**29 // 3
TOO_LARGE = (
    f'its header claims more than {MAX_PIXELS} pixels, which are not decoded;'
    ' cut it into tiles; segjax.predict --windows reads parts of an image'
)
LIBPNG_SIDE = 1_000_000  # Pixels of the longest side that libpng decodes.
# Begin of a segment of JPEG. After 0xff coded pixels have 0 or a restart.
SEGMENT = re.compile(rb'\xff[\x02-\xcf\xd8-\xfe]')
JPEG_END = b'\xff\xd9'
# Tag Orientation of EXIF and of TIFF.
ORIENTATION = 0x0112
# Compressions of TIFF that keep every value. Others lose some or may do so.
LOSSLESS = (
    *('NONE', 'CCITTRLE', 'CCITTFAX3', 'CCITTFAX4', 'LZW', 'ADOBE_DEFLATE'),
    *('PACKBITS', 'DEFLATE', 'LZMA', 'ZSTD', 'PNG'),
)
# Photometric interpretations of TIFF whose samples are what they look like.
PLAIN = ('MINISBLACK', 'MINISWHITE', 'RGB', 'PALETTE', 'MASK')

# Pillow warns for images with more than half of MAX_PIXELS.
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)
# What goes wrong is raised as an error that names the file.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
logging.getLogger('tifffile').setLevel(logging.CRITICAL)


class Refused(ValueError):  # noqa: N818  The file may be good.
  """A file that is not read; the message says why, without naming the file."""


@dataclasses.dataclass(frozen=True)
class Decoded:
  """The samples of a file.

  Attributes:
    pixels: [H, W] or [H, W, C], with colours in the order RGB.
    palette: [K, 3] uint8, of which `pixels` are the indices, or None.
    alpha: whether the last channel is alpha.
    bits: number of bits of a sample, if fewer than those of the type.
    lossy: name of the compression that has altered the samples, or ''.
    inverted: whether 0 is white.
  """

  pixels: np.ndarray
  palette: np.ndarray | None = None
  alpha: bool = False
  bits: int = 0
  lossy: str = ''
  inverted: bool = False


def decode(data: bytes) -> Decoded:
  """Decodes the content of a file.

  Raises:
    Refused: the file holds what is not read, such as several pages.
    Exception: the file is damaged; decoders raise errors of any type.
  """
  decoded = _decode_any(data)
  native = decoded.pixels.dtype.newbyteorder('=')
  return dataclasses.replace(
      decoded, pixels=decoded.pixels.astype(native, copy=False)
  )


def _decode_any(data):
  """Decodes the content of a file; numbers may be in its order of bytes."""
  if data.startswith(NUMPY):
    return Decoded(np.load(io.BytesIO(data), allow_pickle=False))
  if data.startswith(TIFF):
    return _decode_tiff(data)
  if data.startswith(PNG):
    return _decode_png(data)
  if data[:4] == b'RIFF' and data[8:12] == b'WEBP':
    return _decode_webp(data)
  with _open(data) as picture:
    if data.startswith(b'\xff\xd8'):
      return _decode_jpeg(data, picture)
    if picture.format == 'BMP' and picture.mode != 'P':
      return _decode_opencv(data)  # Pillow mistakes 8 bits of two greys for 1.
    _check_pages(getattr(picture, 'n_frames', 1), 'frames')
    lossy = '' if picture.format in ('BMP', 'GIF', 'PPM') else picture.format
    return _decode_pillow(picture, lossy)


def orientation(data: bytes) -> int:
  """Returns how EXIF or TIFF says that an image is to be turned, 1 to 8.

  1 is upright as it is stored, and what files without the entry have.
  """
  try:
    if data.startswith(TIFF):
      with tifffile.TiffFile(io.BytesIO(data)) as file:
        return int(file.pages[0].tags.valueof(ORIENTATION, 1))
    # Pillow decodes a whole PNG to look for EXIF behind the pixels.
    exif = (b'eXIf', b'Raw profile type', b'tiff:Orientation')
    if data.startswith(NUMPY) or (
        data.startswith(PNG) and not any(name in data for name in exif)
    ):
      return 1
    with Image.open(io.BytesIO(data)) as picture:
      value = picture.getexif().get(ORIENTATION, 1)
  except Exception:  # Decoding raises an error that tells what is wrong.
    return 1
  return value if value in range(1, 9) else 1


def _open(data):
  """Opens a file by Pillow, which reads its header."""
  try:
    picture = Image.open(io.BytesIO(data))
  except Image.DecompressionBombError as error:
    raise Refused(TOO_LARGE) from error
  _check_size(*picture.size)
  return picture


def _check_size(width, height):
  """Raises `Refused` if an image is too large to be decoded."""
  if width * height > MAX_PIXELS:
    raise Refused(TOO_LARGE)


def _check_pages(count, name='pages'):
  """Raises `Refused` unless a file holds one image."""
  if count != 1:
    raise Refused(
        f'the file has {count} {name}, expected one image; write each to a file'
        ' of its own'
    )


def _decode_png(data):
  """Decodes a PNG; all of its checksums must be right."""
  # Text, colour profiles and gamma do not change the samples, and libpng
  # writes warnings about odd ones.
  kept, width, height, bits, kind = [PNG], 0, 0, 0, 0
  palette = None
  for name, start, end in _png_chunks(data):
    body = data[start + 8 : end - 4]
    if name == b'IHDR':
      width, height, bits, kind = struct.unpack('>IIBB', body[:10])
      _check_size(width, height)
    elif name == b'acTL':
      _check_pages(struct.unpack('>I', body[:4])[0], 'frames')
    elif name == b'PLTE':
      palette = np.frombuffer(body, np.uint8).reshape(-1, 3)
    if name in (b'IHDR', b'PLTE', b'IDAT', b'IEND'):
      kept.append(data[start:end])
  if max(width, height) > LIBPNG_SIDE:
    return _decode_pillow(Image.open(io.BytesIO(b''.join(kept))))
  if kind == 3:
    return _decode_indices(kept, bits, palette)
  pixels = imagecodecs.png_decode(b''.join(kept))
  if kind == 4:  # Grey with alpha.
    pixels = pixels[:, :, [0, 0, 0, 1]]
  return Decoded(pixels, alpha=kind in (4, 6))


def _decode_indices(chunks, bits, palette):
  """Decodes an indexed PNG of given chunks.

  libpng gives colours, and Pillow does not see that rows are missing. So the
  indices are decoded as greys, which libpng spreads over 0 to 255.
  """
  if palette is None:
    raise ValueError('it has indices, but no palette')
  signature, header, *others = chunks
  named = bytearray(header[4:-4])  # Name and content of the chunk IHDR.
  named[4 + 9] = 0  # The type of colour is grey.
  header = header[:4] + bytes(named) + struct.pack('>I', zlib.crc32(named))
  others = [chunk for chunk in others if chunk[4:8] != b'PLTE']
  pixels = imagecodecs.png_decode(b''.join([signature, header, *others]))
  pixels //= 255 // (2**bits - 1)
  _check_indices(pixels, palette)
  return Decoded(pixels, palette)


def _check_indices(pixels, palette):
  """Raises ValueError if an index has no colour."""
  if pixels.size and pixels.max() >= len(palette):
    raise ValueError(
        f'it has the index {pixels.max()}, but {len(palette)} colours'
    )


def _png_chunks(data):
  """Yields (name, start, end) of the chunks of a PNG, and verifies them."""
  start = len(PNG)
  while True:
    length = int.from_bytes(data[start : start + 4])
    name, end = data[start + 4 : start + 8], start + length + 12
    if end > len(data):
      raise ValueError('the file is truncated')
    (crc,) = struct.unpack('>I', data[end - 4 : end])
    if zlib.crc32(memoryview(data)[start + 4 : end - 4]) != crc:
      raise ValueError(f'the checksum of its part {name!r} is wrong')
    yield name, start, end
    if name == b'IEND':
      return
    start = end


def _decode_webp(data):
  """Decodes a WebP."""
  chunks, start = [], 12
  while start + 8 <= len(data):
    chunks.append(data[start : start + 4])
    (length,) = struct.unpack('<I', data[start + 4 : start + 8])
    start += 8 + length + length % 2
  if b'ANIM' in chunks:
    _check_pages(chunks.count(b'ANMF'), 'frames')
  with _open(data) as picture:
    lossy = '' if b'VP8L' in chunks else 'lossy WebP'
    return dataclasses.replace(_decode_opencv(data, picture), lossy=lossy)


def _decode_jpeg(data, picture):
  """Decodes a JPEG; of several pictures the first is the main one."""
  # Decoders fill the missing part of a truncated JPEG, or take zeros for it.
  if not _has_end(data):
    raise ValueError('the file is truncated: the mark of its end is missing')
  if picture.mode in ('L', 'RGB'):
    # OpenCV's libjpeg gives the same, and writes lines about damaged files.
    try:
      return Decoded(imagecodecs.jpeg8_decode(data), lossy='JPEG')
    except imagecodecs.Jpeg8Error:
      return _decode_pillow(picture, 'JPEG')
  return dataclasses.replace(_decode_opencv(data, picture), lossy='JPEG')


def _has_end(data):
  """Tells whether the mark of the end follows the pixels of a JPEG.

  A JPEG may hold another one, a thumbnail, in a segment before its pixels.
  """
  if data.endswith(JPEG_END):
    return True
  start = 2
  while segment := SEGMENT.search(data, start):
    if segment[0] == JPEG_END:
      return True
    start = segment.end() + int.from_bytes(
        data[segment.end() : segment.end() + 2]
    )
  return False


def _decode_opencv(data, picture=None):
  """Decodes what OpenCV knows, and by Pillow what it refuses."""
  pixels = None
  with contextlib.suppress(cv2.error):  # It raises if a side is too long.
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  if pixels is None:
    return _decode_pillow(picture or Image.open(io.BytesIO(data)))
  pixels = swap_red_and_blue(pixels)
  return Decoded(pixels, alpha=pixels.ndim == 3 and pixels.shape[2] == 4)


def _decode_pillow(picture, lossy=''):
  """Decodes an opened file by Pillow."""
  if picture.mode == 'P':
    pixels = np.array(picture)
    palette = np.array(picture.getpalette('RGB'), np.uint8).reshape(-1, 3)
    _check_indices(pixels, palette)
    return Decoded(pixels, palette, lossy=lossy)
  if picture.mode == '1':  # Black and white, as in a PNG of one bit.
    return Decoded(np.array(picture).astype(np.uint8) * 255, lossy=lossy)
  if picture.mode in ('LA', 'PA'):
    picture = picture.convert('RGBA')
  elif picture.mode not in ('L', 'I', 'I;16', 'F', 'RGB', 'RGBA'):
    picture = picture.convert('RGB')
  return Decoded(np.array(picture), alpha=picture.mode == 'RGBA', lossy=lossy)


def _decode_tiff(data):
  """Decodes a TIFF to its raw samples, as GDAL does."""
  with tifffile.TiffFile(io.BytesIO(data)) as file:
    page = file.pages[0]
    _check_size(page.imagewidth, page.imagelength)
    _check_pages(_tiff_pages(file))
    photometric = getattr(page.photometric, 'name', str(page.photometric))
    compression = getattr(page.compression, 'name', str(page.compression))
    jpeg = 'JPEG' in compression and 'JPEG2000' not in compression
    if photometric not in PLAIN and not (photometric == 'YCBCR' and jpeg):
      raise Refused(
          f'a TIFF of {photometric} samples, expected grey, RGB or bands;'
          ' convert it to RGB'
      )
    bits = page.bitspersample
    if not isinstance(bits, int) or page.dtype is None:
      raise Refused(f'a TIFF with {bits} bits a sample, expected equal ones')
    if page.dtype.kind not in 'buif':
      raise Refused(f'a TIFF of {page.dtype} numbers, expected real ones')
    pixels = page.asarray(maxworkers=1)
    if page.axes == 'SYX':
      pixels = np.moveaxis(pixels, 0, -1)
    elif page.axes not in ('YX', 'YXS'):
      raise Refused(f'a TIFF of {page.axes} {pixels.shape}, expected one image')
    palette = None
    if photometric == 'PALETTE':
      palette = np.asarray(page.colormap).T
      if palette.max() > 255:  # Some programs write 8 bits instead of 16.
        palette = palette >> 8
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    extra = [getattr(e, 'name', '') for e in page.extrasamples]
    return Decoded(
        pixels.astype(np.uint8) if pixels.dtype == bool else pixels,
        None if palette is None else palette.astype(np.uint8),
        alpha=samples in (2, 4) and extra in (['ASSOCALPHA'], ['UNASSALPHA']),
        bits=bits if bits < 8 else 0,
        lossy='' if compression in LOSSLESS else f'TIFF of {compression}',
        inverted=photometric == 'MINISWHITE',
    )


def _tiff_pages(file):
  """Returns the number of images, without thumbnails, overviews and masks."""
  first, *others = file.pages
  count = 1 + sum(not int(page.subfiletype) & 5 for page in others)
  if count == 1 and file.series and first.size:
    # ImageJ and others write many images behind one header.
    count = max(file.series[0].size // first.size, 1)
  return count * max(first.imagedepth, 1)


def swap_red_and_blue(array: np.ndarray) -> np.ndarray:
  """Converts BGR(A), OpenCV's order of channels, to RGB(A) or back."""
  if array.ndim == 3 and array.shape[2] == 3:
    return cv2.cvtColor(array, cv2.COLOR_BGR2RGB)
  if array.ndim == 3 and array.shape[2] == 4:
    return cv2.cvtColor(array, cv2.COLOR_BGRA2RGBA)
  return array
