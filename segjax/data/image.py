"""Image files to arrays and back; a damaged file is an error, never noise."""

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
NUMPY = b'\x93NUMPY'  # What .npy begins with.
# Half a gigabyte in RGB, and what Pillow opens at the most. A file need not be
# large for its image to fill the memory.
MAX_PIXELS = 2**29 // 3
# Pillow warns from half of it on.
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)


class BadExample(ValueError):  # noqa: N818  What it is, not what it does.
  """An image or mask that cannot be used; the message names the file."""


def read_image(path):
  """Reads an image as [H, W, C], channels in RGB order, grey with C = 1.

  uint8, uint16 and float32 stay, other numbers become float32. The
  orientation in EXIF is not applied, since masks do not carry it.
  """
  image = _decode(path)
  if image.ndim == 2:
    image = image[:, :, None]
  if image.ndim != 3 or not image.size:
    raise BadExample(f'{path}: an image is [H, W, C], this is {image.shape}')
  if image.dtype in (np.uint8, np.uint16, np.float32):
    return image
  return image.astype(np.float32)


def check_finite(image, name):
  """Raises `BadExample` if an image holds NaN or infinity."""
  if not np.issubdtype(image.dtype, np.floating):
    return
  if bad := image.size - np.isfinite(image).sum():
    raise BadExample(
        f'{name}: {bad} of {image.size} values are NaN or infinite, of which'
        ' nothing can be learned; give them a number, such as the mean of the'
        ' others, and ignore these pixels in the mask'
    )


def with_channels(image, channels, name):
  """Gives an image [H, W, C] the channels that are expected.

  Grey is repeated and alpha is dropped; anything else is a `BadExample`.
  """
  given = image.shape[2]
  if given == channels:
    return image
  if given == 1:
    return np.repeat(image, channels, axis=2)
  if (given, channels) == (4, 3):
    return image[:, :, :3]
  raise BadExample(f'{name} has {given} channels, expected {channels}')


def read_mask(path, colors=False):
  """Reads a mask as integers [H, W], or as colours [H, W, 3].

  An indexed file gives its indices, or the colours they stand for when `colors`
  is set. A coloured file gives its colours without alpha, and a grey one
  stored in three equal channels is grey.
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
  """Writes [H, W] or [H, W, 3 or 4] as PNG; nobody ever sees half a file.

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
  """Returns the pixels as the file has them; `indices` keeps a palette's."""
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
  except Exception as error:  # Decoders raise whatever they stumble on.
    raise BadExample(f'{path}: damaged or no image, {error}') from error


def _is_too_large(data):
  """Tells from the header alone whether there are more than `MAX_PIXELS`."""
  file = io.BytesIO(data)
  try:
    if data.startswith((b'II*\0', b'MM\0*')):  # Some, Pillow cannot open.
      tags = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
      file.seek(tags.next)
      tags.load(file)
      width = tags[TiffImagePlugin.IMAGEWIDTH]
      height = tags[TiffImagePlugin.IMAGELENGTH]
    else:
      width, height = Image.open(file).size
  except Image.DecompressionBombError:
    return True
  except Exception:  # What is wrong, decoding will tell.
    return False
  return width * height > MAX_PIXELS


def _needs_pillow(data):
  """Tells GIF, and JPEG without its end mark.

  OpenCV fills what a truncated JPEG lacks; Pillow raises. The mark cannot occur
  inside the coded pixels, so a file that ends with it is whole; one with
  something behind it is left to Pillow.
  """
  if data.startswith(b'\xff\xd8'):
    return not data.endswith(b'\xff\xd9')
  return data.startswith(b'GIF8')


def _is_indexed_png(data):
  return data.startswith(b'\x89PNG') and data[25:26] == b'\x03'


def _decode_with_pillow(data, indices):
  picture = Image.open(io.BytesIO(data))
  if picture.mode == 'P' and indices:
    return np.array(picture)
  if picture.mode not in ('1', 'L', 'I', 'I;16', 'F', 'RGB', 'RGBA'):
    picture = picture.convert('RGB')
  return np.array(picture)


def _swap_red_and_blue(array):
  """Converts between OpenCV's order of channels and RGB(A), both ways."""
  if array.ndim == 3 and array.shape[2] == 3:
    return cv2.cvtColor(array, cv2.COLOR_BGR2RGB)
  if array.ndim == 3 and array.shape[2] == 4:
    return cv2.cvtColor(array, cv2.COLOR_BGRA2RGBA)
  return array
