"""Reads texts that people and other programs write."""

import json
import os
from typing import Any

from etils import epath


def read(path: str | os.PathLike) -> str:
  """Returns a text in UTF-8, without the byte order mark that it may have.

  Raises:
    ValueError: it is in another encoding; names the file.
  """
  try:
    return epath.Path(path).read_bytes().decode('utf-8-sig')
  except UnicodeDecodeError as error:
    raise ValueError(
        f'{path}: not UTF-8, {error.reason} at byte {error.start}; save it as'
        ' UTF-8'
    ) from error


def parse_json(data: bytes | str) -> Any:
  """Returns the content of a JSON text, as `json.loads` does.

  Of a key that is given twice `json.loads` keeps the last value, in silence.

  Args:
    data: the text; bytes may be in UTF-8, UTF-16 or UTF-32, with a byte order
      mark or without.

  Raises:
    ValueError: it is no JSON, or an object has a key twice.
  """
  return json.loads(data, object_pairs_hook=_object)


def _object(pairs):
  """Returns an object of JSON as a dict."""
  content = dict(pairs)
  if len(content) < len(pairs):
    keys = [key for key, _ in pairs]
    twice = next(key for key in keys if keys.count(key) > 1)
    raise ValueError(f'the key {json.dumps(twice)} is given twice')
  return content
