"""Formats of exported models: a module each, with `write` and `read`.

`write(path, function, about, ...)` makes the file, and `read(path)` returns the
function of the images, from NumPy to NumPy, and the text of about.json.
"""

import importlib
import types


def needed(package: str, purpose: str) -> types.ModuleType:
  """Imports a package that only some formats need.

  Args:
    package: name of the module.
    purpose: what it is needed for, for the error.

  Raises:
    ValueError: it is not installed.
  """
  try:
    return importlib.import_module(package)
  except ImportError as error:
    raise ValueError(
        f'{purpose} needs the package {package.split(".")[0]}: {error}. Install'
        " segjax with its extra: pip install 'segjax[export]'."
    ) from error
