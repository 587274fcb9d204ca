"""Reads and writes image files; a damaged file always raises `BadExample`."""

import io

import cv2
from etils import epath
import numpy as np
from PIL import Image

from segjax.data import formats
from segjax.runtime import atomic

SUFFIXES = (
    *('.png', '.jpg', '.jpeg', '.webp'),
    *('.tif', '.tiff', '.bmp', '.gif', '.npy'),
)
# Of the colours that a written palette lacks, such as that of ignored pixels:
# VOC's. It is no grey, see `read_mask`.
UNUSED = (224, 224, 192)


class BadExample(ValueError):  # noqa: N818  It names the example, not an error.
  """An image or mask that cannot be used; the message names the file."""


def read_image(
    path: epath.PathLike,
    upright: bool = False,
    channels: int = 0,
    *,
    data: bytes | None = None,
) -> np.ndarray:
  """Reads an image as [H, W, C], with channels in RGB order; grey has C = 1.

  uint8, uint16 and float32 keep their type, others become float32.

  Args:
    path: path of the file.
    upright: whether the image is turned as its EXIF, or the tag of a TIFF,
      says. A mask lies as its image is stored, so training does not turn.
    channels: number of channels to bring the image to, as `with_channels`
      does; here a fourth one is dropped only if the file says that it is alpha.
      0 takes all that there are.
    data: content of the file, where it does not lie at the path.

  Raises:
    BadExample: the file is damaged, no single image, or has other channels.
  """
  data = _read(path) if data is None else data
  decoded = _decode(path, data)
  image = decoded.pixels
  if decoded.palette is not None:
    if data.startswith(formats.TIFF):
      raise BadExample(
          f'{path}: a TIFF of indices into a palette, expected grey, RGB or'
          ' bands; convert it to RGB'
      )
    image = decoded.palette[image]
  if image.ndim == 2:
    image = image[:, :, None]
  if image.ndim != 3 or not image.size:
    raise BadExample(f'{path}: an image is [H, W, C], this is {image.shape}')
  if image.dtype.kind not in 'buif':
    raise BadExample(f'{path}: an image holds numbers, this {image.dtype}')
  if (image.shape[2], channels) == (4, 3) and not decoded.alpha:
    raise BadExample(
        f'{path} has 4 channels, expected 3; none of them is marked as alpha'
    )
  if channels:
    image = with_channels(image, channels, path)
  if upright:
    image = turn(image, formats.orientation(data))
  if image.dtype in (np.uint8, np.uint16, np.float32):
    return image
  return image.astype(np.float32)


def check_finite(image: np.ndarray, name: epath.PathLike) -> None:
  """Raises `BadExample` if an image holds NaN or infinity."""
  if not np.issubdtype(image.dtype, np.floating):
    return
  if bad := image.size - np.isfinite(image).sum():
    raise BadExample(
        f'{name}: {bad} of {image.size} values are NaN or infinite, of which'
        ' nothing can be learned or predicted; give them a number, such as the'
        ' mean of the others, and ignore these pixels in the mask'
    )


def read_orientation(path: epath.PathLike) -> int:
  """Returns how EXIF, or the tag of a TIFF, says an image is to be turned.

  1 to 8 as in EXIF, where 1 is upright as it is stored.
  """
  return formats.orientation(_read(path))


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
  """Returns an image [H, W, C] upright, by its orientation of 1 to 8."""
  if orientation > 4:
    image = image.swapaxes(0, 1)
  if orientation in (3, 4, 7, 8):
    image = image[::-1]
  if orientation in (2, 3, 6, 7):
    image = image[:, ::-1]
  return np.ascontiguousarray(image)


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
  if not fits(actual, channels):
    raise BadExample(f'{name} has {actual} channels, expected {channels}')
  if actual < channels:
    return np.repeat(image, channels, axis=2)
  return image[:, :, :channels]


def fits(actual: int, channels: int) -> bool:
  """Tells whether `with_channels` brings an image to a number of channels."""
  return actual in (1, channels) or (actual, channels) == (4, 3)


def read_mask(
    path: epath.PathLike, colors: bool = False, *, keep_rgb: bool = False
) -> np.ndarray:
  """Reads a mask as integers [H, W], or as colours [H, W, 3].

  The same picture gives the same values in every format, or is refused. With
  `colors`, a grey value v is the colour (v, v, v), and an index is its colour
  in the palette. Without, an index is itself and three equal channels are
  grey; a palette of greys at other places than their values is refused,
  because programs that make files smaller write grey masks so. Alpha is
  dropped.

  Args:
    path: path of the file.
    colors: whether to return colours.
    keep_rgb: whether three equal channels of 8 bits stay colours, too.

  Raises:
    BadExample: the file is damaged, or holds no mask; see the message.
  """
  decoded = _decode(path, _read(path))
  mask = decoded.pixels
  if decoded.lossy:
    raise BadExample(
        f'{path}: {decoded.lossy} alters the values of a mask, or may do so;'
        ' write masks as PNG'
    )
  if decoded.inverted:
    raise BadExample(
        f'{path}: a TIFF in which 0 is white: its values and what it shows'
        ' differ; write masks as PNG'
    )
  if decoded.palette is not None:
    if colors:
      mask = decoded.palette[mask]
    else:
      _check_palette(path, mask, decoded.palette)
  if decoded.alpha:
    mask = mask[:, :, :-1]
  if mask.ndim == 3 and mask.shape[2] == 1:
    mask = mask[:, :, 0]
  if mask.ndim == 3 and mask.shape[2] == 3 and not colors:
    first = mask[:, :, :1]
    keep = keep_rgb and mask.dtype == np.uint8
    mask = first[:, :, 0] if not keep and (mask == first).all() else mask
  if mask.dtype == bool:
    mask = mask.astype(np.uint8)
  if colors and mask.ndim == 2 and mask.dtype == np.uint8:
    if decoded.bits:
      mask = mask * (255 // (2**decoded.bits - 1))
    mask = np.repeat(mask[:, :, None], 3, axis=2)
  grey = mask.ndim == 2 and np.issubdtype(mask.dtype, np.integer) and not colors
  colored = mask.ndim == 3 and mask.shape[2] == 3 and mask.dtype == np.uint8
  if not mask.size or not (colored or grey):
    wanted = '8-bit greys or' if colors else 'integers [H, W] or 8-bit'
    raise BadExample(
        f'{path}: a mask holds {wanted} colours [H, W, 3], this'
        f' {decoded.pixels.dtype} {decoded.pixels.shape}'
    )
  return np.ascontiguousarray(mask)


def write_png(path, array, palette=None):
  """Writes an image [H, W] or [H, W, 3 or 4] as PNG, atomically.

  Args:
    path: where to write; a file that is there is replaced.
    array: uint8, or uint16 without a palette.
    palette: [K, 3] colours; the file is then indexed and `array` the indices.
  """
  if palette is None:
    array = formats.swap_red_and_blue(array)
    data = cv2.imencode('.png', array)[1].tobytes()
  else:
    # Pillow takes fewer bits for fewer colours, and cuts off larger indices.
    colors = np.full((256, 3), UNUSED, np.uint8)
    colors[: len(palette)] = palette
    picture = Image.fromarray(array.astype(np.uint8))
    picture.putpalette(colors.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, 'png')
    data = buffer.getvalue()
  with atomic.replacing(path) as file:
    file.write(data)


def _read(path):
  """Returns the content of a file."""
  try:
    data = epath.Path(path).read_bytes()
  except OSError as error:
    raise BadExample(f'{path}: cannot be read, {error.strerror}') from error
  if not data:
    raise BadExample(f'{path}: the file is empty')
  return data


def _decode(path, data):
  """Returns the content of a file as `formats.Decoded`."""
  try:
    return formats.decode(data)
  except formats.Refused as error:
    raise BadExample(f'{path}: {error}') from error
  except Exception as error:  # Decoders raise errors of any type.
    raise BadExample(f'{path}: damaged or no image, {error}') from error


def _check_palette(path, indices, palette):
  """Raises `BadExample` if the greys of a palette are not their indices."""
  if (palette != palette[:, :1]).any():
    return
  used = np.flatnonzero(np.bincount(indices.ravel()))
  shown = palette[used, 0]
  if (shown != used).any():
    raise BadExample(
        f'{path}: its palette of greys shows {shown[:10].tolist()} for the'
        f' indices {used[:10].tolist()}, so it is not clear which are meant;'
        ' write the mask as grey PNG, or with a palette of colours'
    )
