"""Files that are written whole or not at all."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import json
import os
from typing import Any
from typing import BinaryIO

from etils import epath


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
  """Opens a file of bytes that takes the place of `path` once it is whole.

  Nobody ever sees half of it. If writing fails, what was there stays. It lies
  beside `path` until then, hidden, so that no listing of a folder takes it.
  """
  path = epath.Path(path)
  temporary = path.parent / f'.{path.name}.tmp'
  try:
    with temporary.open('wb') as file:
      yield file
    temporary.replace(path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


def write_json(
    path: str | os.PathLike, value: Any, default: Callable | None = None
) -> None:
  """Writes a value as a JSON file, whole or not at all.

  Args:
    path: of the file.
    value: what is written.
    default: see `json.dumps`.
  """
  with replacing(path) as file:
    file.write(f'{json.dumps(value, indent=2, default=default)}\n'.encode())
