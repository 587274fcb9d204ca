"""Reads and writes image files; a damaged file always raises `BadExample`."""

import io
import warnings

import cv2
from etils import epath
import numpy as np
from PIL import Image
from PIL import TiffImagePlugin

from segjax.runtime import atomic

SUFFIXES = (
    *('.png', '.jpg', '.jpeg', '.webp'),
    *('.tif', '.tiff', '.bmp', '.gif', '.npy'),
)
NUMPY = b'\x93NUMPY'  # First bytes of a .npy file.
# Half a gigabyte in RGB, Pillow's limit as well. A small compressed file can
# hold an image that fills the memory.
MAX_PIXELS = 2**29 // 3
# Pillow warns for images with more than half as many pixels.
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)


class BadExample(ValueError):  # noqa: N818  It names the example, not an error.
  """An image or mask that cannot be used; the message names the file."""


def read_image(path: epath.PathLike) -> np.ndarray:
  """Reads an image as [H, W, C], with channels in RGB order; grey has C = 1.

  uint8, uint16 and float32 keep their type, others become float32. The
  orientation in EXIF is not applied, because masks do not have it.
  """
  image = _decode(path)
  if image.ndim == 2:
    image = image[:, :, None]
  if image.ndim != 3 or not image.size:
    raise BadExample(f'{path}: an image is [H, W, C], this is {image.shape}')
  if image.dtype in (np.uint8, np.uint16, np.float32):
    return image
  return image.astype(np.float32)


def with_channels(
    image: np.ndarray, channels: int, name: epath.PathLike
) -> np.ndarray:
  """Converts an image [H, W, C] to the expected number of channels.

  A grey channel is repeated, and alpha is dropped.

  Args:
    image: [H, W, C].
    channels: number of channels that is expected.
    name: name of the image in errors.

  Raises:
    BadExample: the image has another number of channels.
  """
  actual = image.shape[2]
  if actual == channels:
    return image
  if actual == 1:
    return np.repeat(image, channels, axis=2)
  if (actual, channels) == (4, 3):
    return image[:, :, :3]
  raise BadExample(f'{name} has {actual} channels, expected {channels}')


def read_mask(path: epath.PathLike, colors: bool = False) -> np.ndarray:
  """Reads a mask as integers [H, W], or as colours [H, W, 3].

  An indexed file is read as its indices or, with `colors`, as the colours of
  its palette. A coloured file is read as colours without alpha; without
  `colors`, a file with three equal channels is read as grey, [H, W].
  """
  mask = _decode(path, indices=not colors)
  if mask.ndim == 3:
    channels = mask.shape[2]
    mask = mask[:, :, 0] if channels < 3 else mask[:, :, :3]
    if channels in (3, 4) and not colors and (mask == mask[:, :, :1]).all():
      mask = mask[:, :, 0]
  if mask.dtype == bool:
    mask = mask.astype(np.uint8)
  colored = mask.ndim == 3 and channels in (3, 4) and mask.dtype == np.uint8
  grey = mask.ndim == 2 and np.issubdtype(mask.dtype, np.integer)
  if not mask.size or not (colored or grey):
    raise BadExample(
        f'{path}: a mask holds integers [H, W] or 8-bit colours [H, W, 3], this'
        f' {mask.dtype} {mask.shape}'
    )
  return mask


def write_png(path, array, palette=None):
  """Writes an image [H, W] or [H, W, 3 or 4] as PNG, atomically.

  Args:
    path: where to write; a file that is there is replaced.
    array: uint8, or uint16 without a palette.
    palette: [K, 3] colours; the file is then indexed and `array` the indices.
  """
  if palette is None:
    data = cv2.imencode('.png', _swap_red_and_blue(array))[1].tobytes()
  else:
    picture = Image.fromarray(array.astype(np.uint8))
    picture.putpalette(np.asarray(palette, np.uint8).tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, 'png')
    data = buffer.getvalue()
  with atomic.replacing(path) as file:
    file.write(data)


def _decode(path, indices=False):
  """Returns the pixels of a file; `indices` keeps those of an indexed one."""
  try:
    data = epath.Path(path).read_bytes()
  except OSError as error:
    raise BadExample(f'{path}: cannot be read, {error.strerror}') from error
  if not data:
    raise BadExample(f'{path}: the file is empty')
  if not data.startswith(NUMPY) and _is_too_large(data):
    raise BadExample(
        f'{path}: its header claims more than {MAX_PIXELS} pixels, which are'
        ' not decoded; cut it into tiles'
    )
  try:
    if data.startswith(NUMPY):
      return np.load(io.BytesIO(data), allow_pickle=False)
    if not (_needs_pillow(data) or (indices and _is_indexed_png(data))):
      pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
      if pixels is not None:
        return _swap_red_and_blue(pixels)
    return _decode_with_pillow(data, indices)
  except Exception as error:  # Decoders raise errors of any type.
    raise BadExample(f'{path}: damaged or no image, {error}') from error


def _is_too_large(data):
  """Tells from the header alone whether there are more than `MAX_PIXELS`."""
  file = io.BytesIO(data)
  try:
    # Pillow cannot open every TIFF file, but it reads the size of all.
    if data.startswith((b'II*\0', b'MM\0*')):
      tags = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
      file.seek(tags.next)
      tags.load(file)
      width = tags[TiffImagePlugin.IMAGEWIDTH]
      height = tags[TiffImagePlugin.IMAGELENGTH]
    else:
      width, height = Image.open(file).size
  except Image.DecompressionBombError:
    return True
  except Exception:  # Decoding will raise an error that tells what is wrong.
    return False
  return width * height > MAX_PIXELS


def _needs_pillow(data):
  """Tells whether a file is a GIF, or a JPEG without end mark at its end.

  OpenCV fills the missing part of a truncated JPEG; Pillow raises. The end mark
  cannot occur inside the coded pixels, so a file that ends with it is complete.
  """
  if data.startswith(b'\xff\xd8'):
    return not data.endswith(b'\xff\xd9')
  return data.startswith(b'GIF8')


def _is_indexed_png(data):
  """Tells whether a file is a PNG with a palette (colour type 3)."""
  return data.startswith(b'\x89PNG') and data[25:26] == b'\x03'


def _decode_with_pillow(data, indices):
  """Returns the pixels of a file that Pillow decodes; see `_decode`."""
  picture = Image.open(io.BytesIO(data))
  if picture.mode == 'P' and indices:
    return np.array(picture)
  if picture.mode not in ('1', 'L', 'I', 'I;16', 'F', 'RGB', 'RGBA'):
    picture = picture.convert('RGB')
  return np.array(picture)


def _swap_red_and_blue(array):
  """Converts BGR(A), OpenCV's order of channels, to RGB(A) or back."""
  if array.ndim == 3 and array.shape[2] == 3:
    return cv2.cvtColor(array, cv2.COLOR_BGR2RGB)
  if array.ndim == 3 and array.shape[2] == 4:
    return cv2.cvtColor(array, cv2.COLOR_BGRA2RGBA)
  return array
