"""Paints regions: a label, a map of objects, and a table of their classes."""

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from segjax.data import coco_masks
from segjax.data.annotations import Notes
from segjax.data.annotations import Region

# Pixels that an outline may lie outside without being called so.
TOLERANCE = 0.5
# Notes on runs that cannot be read.
OTHER_SIZE = 'regions whose runs are of another size, left out'
DAMAGED = 'regions whose runs are damaged, left out'

Patch = tuple[tuple[slice, slice], np.ndarray]


def paint(
    regions: Sequence[Region],
    size: tuple[int, int],
    train_ids: Mapping[str, int],
    things: Sequence[int],
    outside: int,
    notes: Notes,
    name: str,
) -> tuple[np.ndarray, np.ndarray, dict[int, tuple[int, bool]]]:
  """Paints the regions of a picture over each other.

  Groups of objects lie at the bottom, then layers in their order; of one layer
  smaller regions lie on top, so that large ones do not hide them.

  Args:
    regions: of the picture.
    size: height and width.
    train_ids: train id of each class, or `IGNORE`; others are left out.
    things: train ids of the classes that are counted objects.
    outside: train id of pixels of no region, or `IGNORE`.
    notes: where overlaps, and what is left out, is counted.
    name: of the picture.

  Returns:
    The label [H, W] uint8, the number of its object at each pixel [H, W] int32,
    0 for none, and {number: (train id, whether it is a crowd)}.
  """
  objects = {}  # Class, crowd, layer and patches of each.
  for i, region in enumerate(regions):
    if region.category not in train_ids:
      what = f'regions of the class {region.category!r}, which is not taken'
      notes.add(what, name)
      continue
    patch = rasterize(region, size, notes, name)
    if patch is None:
      continue
    key = (region.category, region.group)
    if region.group is None:
      key = i
    objects.setdefault(key, []).append((region, patch))
  found = []
  for members in objects.values():
    region = members[0][0]
    window, mask = _union([patch for _, patch in members], size)
    layer = max(member.layer for member, _ in members)
    order = (not region.crowd, layer, -int(mask.sum()))
    found.append((order, region, window, mask))
  found.sort(key=lambda item: item[0])

  label = np.full(size, outside, np.uint8)
  ids = np.zeros(size, np.int32)
  covered = np.zeros(size, bool)
  table, overlaps = {}, 0
  for number, (_, region, window, mask) in enumerate(found, 1):
    kind = train_ids[region.category]
    overlaps += bool((covered[window] & mask).any())
    covered[window] |= mask
    label[window][mask] = kind
    is_object = kind in things
    ids[window][mask] = number if is_object else 0
    if is_object:
      table[number] = kind, region.crowd
  what = 'regions that lie partly on top of others, smaller or upper ones'
  notes.add(what, name, overlaps)
  visible = np.setdiff1d(ids, 0)
  what = 'objects that others hide wholly, and that are left out'
  notes.add(what, name, len(table) - len(visible))
  dense = np.zeros(1 + len(found), np.int32)
  dense[visible] = 1 + np.arange(len(visible))
  table = {i: table[number] for i, number in enumerate(visible.tolist(), 1)}
  what = 'groups of objects that nobody told apart, kept as crowds'
  notes.add(what, name, sum(crowd for _, crowd in table.values()))
  return label, dense[ids], table


def paint_bits(
    regions: Sequence[Region],
    size: tuple[int, int],
    bits: Mapping[str, int],
    outside: int,
    notes: Notes,
    name: str,
) -> np.ndarray:
  """Paints the regions of a picture into bits, so that none hides another.

  Args:
    regions: of the picture.
    size: height and width.
    bits: the bits of each class, as a number; 0 for a class without any.
    outside: bits of pixels of no region.
    notes: where what is left out is counted.
    name: of the picture.

  Returns:
    The bits of each pixel, [H, W] uint16.
  """
  label = np.zeros(size, np.uint16)
  covered = np.zeros(size, bool)
  for region in regions:
    patch = rasterize(region, size, notes, name)
    if patch is None:
      continue
    window, mask = patch
    covered[window] |= mask
    label[window][mask] |= np.uint16(bits[region.category])
  label[~covered] = outside
  return label


def rasterize(
    region: Region, size: tuple[int, int], notes: Notes, name: str
) -> Patch | None:
  """Returns rows and columns that a region covers and booleans of that size.

  None, and a note, if no pixel is of it.
  """
  if region.runs is not None:
    patch = _decode(region.runs, size, notes, name)
  elif region.bitmap is not None:
    patch = _cut(region.bitmap, size, notes, name)
  else:
    patches = [
        filled
        for rings in region.parts
        if (filled := _fill(rings, size, notes, name)) is not None
    ]
    patch = _union(patches, size) if patches else None
  if patch is None:
    return None
  if not patch[1].any():
    notes.add('regions that cover no pixel of the image, left out', name)
    return None
  return patch


def _decode(runs, size, notes, name):
  """Returns the patch of runs, None if they are wrong."""
  try:
    if tuple(runs['size']) != tuple(size):
      notes.add(OTHER_SIZE, name)
      return None
    mask = coco_masks.decode(runs)
  except (ValueError, KeyError, TypeError):
    notes.add(DAMAGED, name)
    return None
  return trimmed(mask)


def trimmed(mask: np.ndarray, row: int = 0, column: int = 0) -> Patch:
  """Returns the smallest window of a mask [h, w], and what is in there."""
  window = []
  for axis in (0, 1):
    there = np.flatnonzero(mask.any(1 - axis))
    ends = (there[0], there[-1] + 1) if len(there) else (0, 0)
    window.append(slice(int(ends[0]), int(ends[1])))
  rows, columns = window
  moved = (
      slice(rows.start + row, rows.stop + row),
      slice(columns.start + column, columns.stop + column),
  )
  return moved, mask[rows, columns]


def _cut(bitmap, size, notes, name):
  """Returns the patch of a bitmap, without what lies outside of the image."""
  row, column, mask = bitmap
  low = max(row, 0), max(column, 0)
  high = min(row + mask.shape[0], size[0]), min(column + mask.shape[1], size[1])
  inside = mask[
      low[0] - row : max(high[0] - row, 0),
      low[1] - column : max(high[1] - column, 0),
  ]
  if inside.sum() < mask.sum():
    notes.add('regions that leave the image, cut at its border', name)
  return trimmed(inside, *low)


def _fill(rings, size, notes, name):
  """Returns the patch of an outline with holes, None if it is none."""
  outline, *holes = rings
  if outline.ndim != 2 or outline.shape[1:] != (2,) or len(outline) < 3:
    notes.add('outlines of fewer than three points, left out', name)
    return None
  if not all(np.isfinite(ring).all() for ring in rings):
    notes.add('outlines whose coordinates are no numbers, left out', name)
    return None
  if (outline < -TOLERANCE).any() or (
      outline > np.array(size[::-1]) + TOLERANCE
  ).any():
    notes.add('regions that leave the image, cut at its border', name)
  window, mask = coco_masks.fill_window(outline, size)
  for hole in holes:
    if len(hole) >= 3:
      mask = mask & ~coco_masks.fill_polygon(hole, size)[window]
  return window, mask


def _union(patches, size):
  """Returns the patch of the pixels of any of some patches."""
  if len(patches) == 1:
    return patches[0]
  whole = np.zeros(size, bool)
  for window, mask in patches:
    whole[window] |= mask
  return trimmed(whole)
