"""Pictures of images and labels: uint8 arrays, most RGB [H, W, 3]."""

import base64
from collections.abc import Sequence
import io

import cv2
import numpy as np
from PIL import Image

from segjax.data.label_map import IGNORE
from segjax.data.label_map import LabelMap

IGNORED = (224, 224, 224)
INK = (45, 50, 60)
PAPER = (255, 255, 255)
GAP = 4  # Pixels between pictures that lie beside each other.


def displayable(image: np.ndarray) -> np.ndarray:
  """Returns any image as uint8 RGB.

  Args:
    image: [H, W] or [H, W, C] of any type. One or two channels become grey from
      the first, of more than three the first three are shown. Other types than
      uint8 are stretched so that 98 % of the finite values fill the range.

  Returns:
    [H, W, 3], uint8.
  """
  image = np.asarray(image)
  if image.ndim == 2:
    image = image[..., None]
  if image.ndim != 3 or not image.size:
    raise ValueError(f'an image [H, W, C] is expected, not {image.shape}')
  image = image[..., :3] if image.shape[-1] >= 3 else image[..., :1]
  if image.dtype != np.uint8:
    image = image.astype(np.float32)
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0, 1)
    image = (image - low) / max(high - low, np.finfo(np.float32).tiny)
    image = np.rint(255 * np.clip(np.nan_to_num(image), 0, 1)).astype(np.uint8)
  return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def colorize(label: np.ndarray, colors: Sequence[Sequence[int]]) -> np.ndarray:
  """Returns ids [H, W] in `colors`, one a class; ignored is light grey."""
  label = np.asarray(label)
  if label.ndim != 2:
    raise ValueError(f'a label [H, W] is expected, not {label.shape}')
  wrong = set(np.unique(label).tolist()) - {*range(len(colors)), IGNORE}
  if wrong:
    raise ValueError(
        f'the label has ids {sorted(wrong)[:10]}, expected 0 to'
        f' {len(colors) - 1} or {IGNORE} for ignored'
    )
  table = np.full((256, 3), IGNORED, np.uint8)
  table[: len(colors)] = colors
  return table[label]


def mixed(label: np.ndarray, colors: Sequence[Sequence[int]]) -> np.ndarray:
  """Paints overlapping classes: each pixel in the mean colour of its classes.

  Args:
    label: [H, W, K], 1 where a pixel is of a class; 255 in all is ignored.
    colors: [K, 3] of the classes.

  Returns:
    [H, W, 3] uint8; pixels of no class are white, ignored ones light grey.
  """
  label = np.asarray(label)
  if label.ndim != 3 or label.shape[2] != len(colors):
    raise ValueError(
        f'a label [H, W, {len(colors)}] is expected, not {label.shape}'
    )
  inside = (label == 1).astype(np.float32)
  number = inside.sum(-1, keepdims=True)
  mean = inside @ np.float32(colors) / np.maximum(number, 1)
  picture = np.where(number > 0, mean, np.float32(PAPER))
  picture[(label == IGNORE).all(-1)] = IGNORED
  return np.rint(picture).astype(np.uint8)


def mixed_overlay(
    image: np.ndarray,
    label: np.ndarray,
    label_map: LabelMap,
    alpha: float = 0.5,
) -> np.ndarray:
  """Tints an image with its overlapping classes, and adds a legend.

  Args:
    image: [H, W, C] as for `displayable`.
    label: see `mixed`; pixels of no class stay as they are.
    label_map: the `LabelMap` with names and colours.
    alpha: from 0, the image alone, to 1, the colours alone.
  """
  picture = displayable(image)
  _check_sizes(image=picture, label=label)
  colors = mixed(label, label_map.colors)
  tinted = cv2.addWeighted(picture, 1 - alpha, colors, alpha, 0)
  inside = label == 1
  picture = np.where(inside.any(-1, keepdims=True), tinted, picture)
  return add_legend(picture, np.flatnonzero(inside.any((0, 1))), label_map)


def uncertainty(variance: np.ndarray) -> np.ndarray:
  """Draws how much probabilities vary, brighter where more.

  Args:
    variance: [H, W, K], of each class's probability.

  Returns:
    [H, W] uint8: the square root of the sum over classes, the standard
    deviation of the vector of probabilities, from 0 to 255 for 1, its limit.
  """
  deviation = np.sqrt(np.sum(variance, -1))
  return np.rint(255 * np.clip(deviation, 0, 1)).astype(np.uint8)


def overlay(
    image: np.ndarray,
    label: np.ndarray,
    label_map: LabelMap,
    alpha: float = 0.5,
    legend: bool = True,
) -> np.ndarray:
  """Tints an image with its classes; ignored pixels stay as they are.

  Args:
    image: [H, W, C] as for `displayable`.
    label: [H, W] class ids or `IGNORE`.
    label_map: the `LabelMap` with names and colours.
    alpha: from 0, the image alone, to 1, the colours alone.
    legend: whether to add the strip of `add_legend`.

  Returns:
    [H, W, 3], larger where a legend is added.
  """
  picture = displayable(image)
  _check_sizes(image=picture, label=label)
  colors = colorize(label, label_map.colors)
  tinted = cv2.addWeighted(picture, 1 - alpha, colors, alpha, 0)
  picture = np.where((label == IGNORE)[..., None], picture, tinted)
  return add_legend(picture, label, label_map) if legend else picture


def add_legend(
    picture: np.ndarray, label: np.ndarray, label_map: LabelMap
) -> np.ndarray:
  """Adds a strip below that names the classes in `label`, and no others.

  A picture too narrow for the longest name is widened with white.
  """
  size = int(np.clip(picture.shape[1] // 60, 12, 36))
  ids = np.setdiff1d(label, IGNORE)
  entries = [
      legend_entry(label_map.names[i], label_map.colors[i], size) for i in ids
  ]
  if not entries:
    return picture
  cell = max(entry.shape[1] for entry in entries)
  width = max(picture.shape[1], cell)
  columns = width // cell
  rows = -(-len(entries) // columns)
  height = entries[0].shape[0]
  page = np.full((picture.shape[0] + rows * height, width, 3), PAPER, np.uint8)
  paste(page, picture, 0, 0)
  for i, entry in enumerate(entries):
    row, column = divmod(i, columns)
    paste(page, entry, picture.shape[0] + row * height, column * cell)
  return page


def panel(
    image: np.ndarray,
    label: np.ndarray,
    prediction: np.ndarray,
    label_map: LabelMap,
) -> np.ndarray:
  """Returns image | label | prediction, [H, 3 * W + 8, 3].

  There is no legend, so that the panels of equally large images are equally
  large and stack to a batch.
  """
  return beside(
      displayable(image),
      colorize(label, label_map.colors),
      colorize(prediction, label_map.colors),
  )


def captioned(picture: np.ndarray, words: str) -> np.ndarray:
  """Returns a picture [H, W, 3] under a line of text; wider if the text is."""
  title = text_tile(words, 13)
  width = max(picture.shape[1], title.shape[1])
  page = np.full((picture.shape[0] + title.shape[0], width, 3), PAPER, np.uint8)
  paste(page, title, 0, 0)
  paste(page, picture, title.shape[0], 0)
  return page


def grid(drawn: Sequence[np.ndarray], columns: int) -> np.ndarray:
  """Returns pictures [h, w, 3] in rows of so many, on one page."""
  gap = 8
  height, width = (max(x.shape[i] for x in drawn) + gap for i in (0, 1))
  rows = -(-len(drawn) // columns)
  page = np.full((rows * height, columns * width, 3), PAPER, np.uint8)
  for i, picture in enumerate(drawn):
    row, column = divmod(i, columns)
    paste(page, picture, row * height, column * width)
  return page


def beside(
    image: np.ndarray, label: np.ndarray, prediction: np.ndarray
) -> np.ndarray:
  """Returns three pictures [H, W, 3] next to each other, [H, 3 * W + 8, 3]."""
  _check_sizes(image=image, label=label, prediction=prediction)
  gap = np.full((image.shape[0], GAP, 3), PAPER, np.uint8)
  return np.hstack([image, gap, label, gap, prediction])


def apart(panel: np.ndarray) -> list[np.ndarray]:
  """Returns the three pictures that `beside` has put next to each other."""
  width = (panel.shape[1] - 2 * GAP) // 3
  return [panel[:, i * (width + GAP) :][:, :width] for i in range(3)]


def segments(
    ids: np.ndarray, classes: np.ndarray, colors: Sequence[Sequence[int]]
) -> np.ndarray:
  """Paints segments in shades of the colour of their class, with outlines.

  Args:
    ids: [H, W], from 1 on; 0 is void, and light grey.
    classes: [N], of the segments 1 to N.
    colors: of the classes, RGB.

  Returns:
    [H, W, 3], uint8.
  """
  table = np.full((1 + len(classes), 3), IGNORED, np.float32)
  for i in np.setdiff1d(ids, 0):
    table[i] = shade(colors[classes[i - 1]], i)
  picture = np.rint(table).astype(np.uint8)[ids]
  outline = np.zeros(ids.shape, bool)
  outline[:, :-1] |= ids[:, :-1] != ids[:, 1:]
  outline[:-1] |= ids[:-1] != ids[1:]
  picture[outline] = PAPER
  return picture


def shade(color: Sequence[int], number: int) -> np.ndarray:
  """Returns a shade of a colour, [3] floats, to tell objects of a class apart.

  Args:
    color: of the class, RGB.
    number: of the object; shades of numbers near each other are far apart.
  """
  # The golden ratio spreads numbers so.
  return (0.7 + 0.3 * (number * 0.618034 % 1)) * np.array(color)


def objects(
    image: np.ndarray,
    masks: Sequence[np.ndarray],
    texts: Sequence[str],
    colors: Sequence[Sequence[int]],
) -> np.ndarray:
  """Draws objects over an image: tinted, with contours and a text.

  Holes have a contour, too.

  Args:
    image: [H, W, 3] uint8.
    masks: of the objects, [H, W] booleans each; later ones lie on top.
    texts: what to write on each.
    colors: of each, RGB.

  Returns:
    [H, W, 3], uint8.
  """
  picture = image.copy()
  size = int(np.clip(image.shape[1] // 50, 9, 24))
  for mask, color in zip(masks, colors, strict=True):
    picture[mask] = picture[mask] // 2 + np.array(color, np.uint8) // 2
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, contours, -1, color, max(1, size // 9))
  for mask, text, color in zip(masks, texts, colors, strict=True):
    if not mask.any():
      continue
    tile = text_tile(text, size, INK, color)
    tile = tile[: image.shape[0], : image.shape[1]]
    place = (
        np.clip(np.flatnonzero(mask.any(1 - axis))[0], 0, side - extent)
        for axis, (side, extent) in enumerate(
            zip(image.shape[:2], tile.shape[:2], strict=True)
        )
    )
    paste(picture, tile, *place)
  return picture


def data_uri(picture: np.ndarray, longest: int) -> str:
  """Returns a picture [H, W, 3] uint8 as the address of an image in a page.

  Few colours stay exact, in PNG; a photograph becomes JPEG.

  Args:
    picture: the picture.
    longest: pixels that the longer side is reduced to, if it has more.
  """
  height, width = picture.shape[:2]
  few = Image.fromarray(picture).getcolors(256) is not None
  if (ratio := longest / max(height, width)) < 1:
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    method = cv2.INTER_NEAREST_EXACT if few else cv2.INTER_AREA
    picture = cv2.resize(picture, size, interpolation=method)
  file = io.BytesIO()
  if few:
    Image.fromarray(picture).save(file, 'png', optimize=True)
  else:
    Image.fromarray(picture).save(file, 'jpeg', quality=88)
  data = base64.b64encode(file.getvalue()).decode()
  return f'data:image/{"png" if few else "jpeg"};base64,{data}'


def text_tile(
    words: str,
    size: int,
    ink: Sequence[int] = INK,
    paper: Sequence[int] = PAPER,
) -> np.ndarray:
  """Returns a tile [1.5 * size, W, 3] with one line of text."""
  font = cv2.FontFace('sans')
  _, _, width, _ = cv2.getTextSize((0, 0), words, (0, 0), font, size)
  # OpenCV wraps a line that would touch the border.
  tile = np.full((round(1.5 * size), width + size, 3), paper, np.uint8)
  cv2.putText(tile, words, (0, round(1.1 * size)), ink, font, size)
  return tile[:, : width + 1]


def legend_entry(name, color, size):
  """Returns a line of a legend: a swatch and a name."""
  words = text_tile(name, size)
  entry = np.full((2 * size, words.shape[1] + 3 * size, 3), PAPER, np.uint8)
  entry[size // 2 : size // 2 + size, size // 2 : size // 2 + size] = color
  paste(entry, words, (2 * size - words.shape[0]) // 2, 2 * size)
  return entry


def paste(page: np.ndarray, tile: np.ndarray, y: int, x: int) -> None:
  """Writes a tile [h, w, 3] into a page, its first pixel at row y, column x."""
  page[y : y + tile.shape[0], x : x + tile.shape[1]] = tile


def _check_sizes(**arrays):
  """Raises ValueError unless all arrays have the same height and width."""
  sizes = {name: np.shape(array)[:2] for name, array in arrays.items()}
  if len(set(sizes.values())) > 1:
    raise ValueError(f'one size [H, W] is expected for all, not {sizes}')
