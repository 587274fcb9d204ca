"""The folder of predictions: what is there already, and what is missing."""

from collections.abc import Mapping
from collections.abc import Sequence
import json
import os
from typing import Any

from etils import epath

# File in the folder of predictions that tells what they are of.
RECORD = '.prediction.json'
LONGEST_NAME = 255  # Bytes of a name that file systems take.


def check_names(
    files: Mapping[str, Sequence[str]],
    sources: Mapping[str, epath.Path],
    output: epath.Path,
) -> None:
  """Raises ValueError if a file cannot be written, or twice or over an image.

  Args:
    files: {name of an image: names of the files that are written of it}.
    sources: {name of an image: its path}.
    output: folder of these files.
  """
  owner = {}
  inputs = {path.resolve() for path in sources.values()}
  folder = output.resolve()
  for name, written in files.items():
    for file in written:
      # It is written beside its place first, see `atomic.replacing`.
      length = len(os.fsencode(f'.{os.path.basename(file)}.tmp'))
      if length > LONGEST_NAME:
        raise ValueError(
            f'{sources[name]}: its name is too long by'
            f' {length - LONGEST_NAME} bytes for the file {file}: give it a'
            ' shorter one.'
        )
      if file in owner:
        raise ValueError(
            f'Both {sources[owner[file]]} and {sources[name]} would be written'
            f' to {file}: rename one, or predict them in several calls with an'
            ' --output for each.'
        )
      owner[file] = name
      if folder / file in inputs:
        raise ValueError(
            f'{folder / file} is an image to predict and would be overwritten:'
            ' choose another --output.'
        )


def unwritten(
    writer: Any,
    files: Mapping[str, Sequence[str]],
    sources: Mapping[str, epath.Path],
    output: epath.Path,
) -> tuple[list[str], dict]:
  """Returns the names of images to predict, and the record of all of them.

  Args:
    writer: of the files, such as `predict_images.Writer`; its summaries take
      over what is told there.
    files: {name of an image: names of the files that are written of it}.
    sources: {name of an image: its path}.
    output: folder of these files.

  Raises:
    ValueError: there are files of these names that another prediction, or
      somebody else, has written.
  """
  path = output / RECORD
  images_now = {name: str(path.resolve()) for name, path in sources.items()}
  before = json.loads(path.read_text()) if path.exists() else {}
  about = writer.about
  same = before and {k: v for k, v in before.items() if k != 'images'} == about
  recorded = before['images'] if same else {}
  there = _there(output, files)
  foreign = [
      file
      for name, written in files.items()
      if recorded.get(name) != images_now[name]
      for file in written
  ]
  summaries = {each.summary: each for each in writer.summaries if each.summary}
  if not same:
    foreign += summaries
  if taken := [file for file in foreign if file in there]:
    raise ValueError(
        f'{output / taken[0]} exists already, and so do {len(taken) - 1}'
        ' others: choose another --output. A prediction goes on in its folder'
        ' only with the same images, checkpoint and options.'
    )
  told = set(files)
  for summary, each in summaries.items():
    told &= each.resume(output) if summary in there else set()
  names = [
      name
      for name, written in files.items()
      if name not in told or not there.issuperset(written)
  ]
  return names, about | {'images': recorded | images_now}


def _there(output, files):
  """Returns the names of what there is in the folders that are written to."""
  folders = {os.path.dirname(file) for of in files.values() for file in of}
  return {
      os.path.join(folder, path.name)
      for folder in {'', *folders}
      if (output / folder).exists()
      for path in (output / folder).iterdir()
  }
