"""Lists the image files of a folder, alike for training and prediction."""

import collections
from collections.abc import Iterable
import dataclasses
import os

from etils import epath


@dataclasses.dataclass(frozen=True)
class Listing:
  """What was found in a folder.

  Attributes:
    folder: the folder.
    files: (name, path) of each file, sorted by path; a name is the path in the
      folder without the suffix.
    left_out: how many entries were left out, by the reason.
  """

  folder: epath.Path
  files: tuple[tuple[str, epath.Path], ...]
  left_out: dict[str, int]

  def describe_rest(self) -> str:
    """Returns what was left out, such as '2 hidden, 1 .txt', or ''."""
    return ', '.join(f'{n} {reason}' for reason, n in self.left_out.items())


def find(
    folder: epath.PathLike, suffixes: Iterable[str], *, recursive: bool = True
) -> Listing:
  """Finds the files of a folder whose names have one of the suffixes.

  Files and folders whose names begin with a dot are left out: thumbnails,
  copies that editors keep, and what macOS writes beside each file. Links to
  files and to folders are followed.

  Args:
    folder: the folder; it may lie in a bucket.
    suffixes: ends of the names, such as '.png'; upper case is the same.
    recursive: whether folders inside are searched, too.

  Raises:
    FileNotFoundError: there is no such folder.
  """
  folder = epath.Path(folder)
  if not folder.is_dir():
    raise FileNotFoundError(f'the folder {folder} is missing')
  suffixes = tuple(suffix.lower() for suffix in suffixes)
  left_out = collections.Counter()
  remote = '://' in str(folder)
  walk = _walk_remote if remote else _walk
  found = []
  for path in walk(folder, recursive, left_out):
    lowered = path.lower()
    if lowered.endswith(suffixes):
      suffix = next(s for s in suffixes if lowered.endswith(s))
      found.append((path.split('/'), path[: -len(suffix)], path))
    else:
      left_out[os.path.splitext(path)[1] or 'without suffix'] += 1
  found.sort()
  files = tuple((name, folder / path) for _, name, path in found)
  return Listing(folder, files, dict(left_out.most_common()))


def _walk(folder, recursive, left_out):
  """Yields the paths of files in a folder, and counts the other entries."""
  # Folders to look into: path, path in `folder`, and the folders around, which
  # a link inside must not lead to again.
  folders = [(str(folder), '', ())]
  while folders:
    top, inside, around = folders.pop()
    status = os.stat(top)
    identity = status.st_dev, status.st_ino
    if identity in around:
      left_out['links to a folder around them'] += 1
      continue
    with os.scandir(top) as entries:
      for entry in entries:
        if entry.name.startswith('.'):
          left_out['hidden'] += 1
        elif entry.is_dir():
          if recursive:
            path = f'{inside}{entry.name}/'
            folders.append((entry.path, path, (*around, identity)))
          else:
            left_out['folders'] += 1
        elif entry.is_file() or not entry.is_symlink():
          yield f'{inside}{entry.name}'
        else:
          left_out['links that lead nowhere'] += 1


def _walk_remote(folder, recursive, left_out):
  """Does the same in a bucket, which has no links."""
  for top, folders, names in folder.walk():
    inside = top.relative_to(folder).as_posix()
    inside = '' if inside == '.' else f'{inside}/'
    if any(part.startswith('.') for part in inside.split('/')):
      continue
    hidden = [n for n in (*folders, *names) if n.startswith('.')]
    if hidden:
      left_out['hidden'] += len(hidden)
    yield from (f'{inside}{n}' for n in names if n not in hidden)
    if not recursive:
      if folders:
        left_out['folders'] += len(folders)
      return
