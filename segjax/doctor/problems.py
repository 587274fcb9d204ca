"""Finds what is wrong or odd about the examples of a split."""

import collections
import dataclasses

import numpy as np

from segjax.doctor.examples import Split
from segjax.doctor.tables import listing
from segjax.doctor.tables import share

MIXED = 0.05  # Part of an object that may be of another class in the mask.

SPECK = 10  # Pixels that an object should have.

ZERO_AND_255 = (
    'hold only 0 and 255: give 255 to a class, in dataset.json'
    ' {"classes": [{"name": "background", "ids": [0]}, {"name": "object",'
    ' "ids": [255]}]}'
)


@dataclasses.dataclass
class Problems:
  """Errors, which make training fail or go wrong, and warnings."""

  errors: list[str] = dataclasses.field(default_factory=list)
  warnings: list[str] = dataclasses.field(default_factory=list)


def check_examples(split: Split, complaints: list[str]) -> None:
  """Appends messages about unusable examples to a list."""
  if split.bad:
    total = len(split.good) + len(split.bad)
    messages = [bad.message for bad in split.bad]
    complaints.append(
        f'{len(split.bad)} of {total} examples of the {split.title} cannot be'
        f' used:{listing(messages)}'
    )
  binary = sum(bad.zero_and_255 for bad in split.bad)
  if binary:
    complaints.append(f'{binary} masks of the {split.title} {ZERO_AND_255}')


def check_images(split: Split, problems: Problems) -> None:
  """Adds problems of images that differ in channels or type."""
  channels = collections.Counter(f'{g.channels} channels' for g in split.good)
  if len(channels) > 1:
    problems.errors.append(
        f'The images of the {split.title} cannot be batched: {share(channels)}'
    )
  dtypes = collections.Counter(g.dtype for g in split.good)
  if len(dtypes) > 1:
    problems.warnings.append(
        f'The images of the {split.title} have several ranges, but are'
        f' normalised alike: {share(dtypes)}'
    )

  spoilt = [g.name for g in split.good if not g.finite]
  if spoilt:
    problems.errors.append(
        f'{len(spoilt)} images of the {split.title} have values that are not'
        f' finite:{listing(spoilt)}'
    )
  turned = [
      f'{g.name}: orientation {g.orientations[0]}, mask {g.orientations[1]}'
      for g in split.good
      if g.orientations[0] != g.orientations[1]
  ]
  if turned:
    problems.warnings.append(
        f'{len(turned)} images of the {split.title} are shown turned, by EXIF,'
        ' and their masks are not, or otherwise. Training takes both as they'
        ' are stored; if the masks were drawn on the images as they are shown,'
        f' write the images upright, without EXIF:{listing(turned)}'
    )


def check_classes(split: Split, problems: Problems) -> None:
  """Adds problems of classes that do not occur and of masks without any."""
  counts = split.counts
  names = split.dataset.label_map.names
  occurs = counts[:, :-1].sum(0) > 0
  # A class that may overlap others is told apart from what is not of it.
  least = 1 if split.dataset.label_map.overlapping else 2
  if split.role == 'train' and occurs.sum() < least:
    what = f'only {names[occurs.argmax()]!r}' if occurs.any() else 'no class'
    problems.errors.append(
        f'The masks of the {split.title} hold {what}: nothing can be learned.'
    )
    if occurs[0] and counts[:, -1].any():
      problems.errors.append(
          f'If the masks of the {split.title} {ZERO_AND_255}'
      )
  absent = [names[i] for i in np.flatnonzero(~occurs)]
  if occurs.any() and absent:
    problems.warnings.append(
        f'{len(absent)} of {len(names)} classes never occur in the'
        f' {split.title}: {", ".join(absent)}'
    )
  blank = [g.name for g in split.good if not g.pixels[:-1].any()]
  if blank:
    problems.warnings.append(
        f'{len(blank)} masks of the {split.title} have no pixel that counts:'
        f'{listing(blank)}'
    )


def check_objects(split: Split, problems: Problems) -> None:
  """Adds problems of objects: mixed classes, pieces, specks, none at all."""
  with_map = [g for g in split.good if g.objects is not None]
  if not with_map:
    return
  single = [one for one in split.objects if not one.crowd]
  if not single:
    message = f'No image of the {split.title} has an object.'
    (problems.errors if split.role == 'train' else problems.warnings).append(
        f'{message} If there should be: a map of objects holds the number of'
        ' its object at each pixel, and "thing": true in dataset.json marks'
        ' their classes.'
    )
    return
  _check_maps(split, with_map, problems)
  _check_shapes(split, single, problems)
  empty = [g.name for g in with_map if not g.objects]
  if empty:
    problems.warnings.append(
        f'{len(empty)} of {len(with_map)} images of the {split.title} have no'
        f' object:{listing(empty)}'
    )


def _check_maps(split, with_map, problems):
  """Adds objects whose pixels belong to something else in the mask.

  Args:
    split: of the examples.
    with_map: those that have a map of objects.
    problems: where they are added.
  """
  mixed = [
      f'{g.name}: object {number}, {share:.0%}'
      for g in with_map
      for number, share in g.astray.items()
      if share > MIXED
  ]
  if mixed:
    problems.warnings.append(
        f'{len(mixed)} objects of the {split.title} have pixels that the mask'
        ' gives another class, and training the class of the object:'
        f' do map and mask belong together?{listing(mixed)}'
    )
  lost = [f'{g.name}: {g.lost}' for g in with_map if g.lost]
  if lost:
    problems.warnings.append(
        f'{sum(g.lost for g in with_map)} objects in the maps of the'
        f' {split.title} are left out, because most of their pixels are'
        f' ignored or of a class that is no thing:{listing(lost)}'
    )


def _check_shapes(split, single, problems):
  """Adds objects that are in pieces, or hardly visible.

  Args:
    split: of the objects.
    single: those that are no groups.
    problems: where they are added.
  """
  names = split.dataset.label_map.names
  pieces = [
      f'{one.image}: object {one.number}, {names[one.kind]}, {one.pieces}'
      for one in sorted(single, key=lambda one: -one.pieces)
      if one.pieces > 1
  ]
  if pieces:
    problems.warnings.append(
        f'{len(pieces)} of {len(single)} objects of the {split.title} are in'
        ' pieces. That is right if something hides their middle; if two'
        f' objects have one number, give each its own:{listing(pieces)}'
    )
  specks = [
      f'{one.image}: object {one.number}, {names[one.kind]}, {one.pixels}'
      for one in sorted(single, key=lambda one: one.pixels)
      if one.pixels < SPECK
  ]
  if specks:
    problems.warnings.append(
        f'{len(specks)} of {len(single)} objects of the {split.title} have'
        f' fewer than {SPECK} pixels, from which hardly anything is'
        f' learned:{listing(specks)}'
    )


def check_overlap(train: Split, held_out: Split, problems: Problems) -> None:
  """Adds problems of splits that differ in channels or share images."""
  if train.good[0].channels != held_out.good[0].channels:
    problems.errors.append(
        f'The {train.title} has images of {train.good[0].channels} channels,'
        f' the {held_out.title} of {held_out.good[0].channels}.'
    )
  known = {g.dtype for g in train.good}
  others = collections.Counter(
      g.dtype for g in held_out.good if g.dtype not in known
  )
  if others:
    problems.errors.append(
        f'The {train.title} has images of {" and ".join(sorted(known))}, the'
        f' {held_out.title} others: {share(others)}'
    )
  trained_on = {g.digest: g.name for g in train.good}
  shared = [
      f'{g.name} is {trained_on[g.digest]} of {train.dataset.split!r}'
      for g in held_out.good
      if g.digest in trained_on
  ]
  if shared:
    problems.warnings.append(
        f'The score would be too high: {len(shared)} of {len(held_out.good)}'
        f' images of the {held_out.title} are trained on:{listing(shared)}'
    )
