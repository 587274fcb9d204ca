"""Reads and writes exported models, with what a user has to know.

The name tells the format, a module of `segjax.artifacts.formats`. A file
NAME.stablehlo is a zip archive: `module`, the program with its weights, as
`jax.export` writes it; and `about.json`, see `About`. Whoever has JAX alone
runs it so:

  with zipfile.ZipFile('model.stablehlo') as archive:
    model = jax.export.deserialize(bytearray(archive.read('module')))
  outputs = model.call(image)  # {'labels': ..., 'probabilities': ...}
"""

from collections.abc import Callable
import dataclasses
import importlib
import json
import os
import types

from etils import epath
import jax
import numpy as np

from segjax.data.label_map import LabelMap

# Formats by the end of the name.
FORMATS = {
    '.stablehlo': 'stablehlo',
    '.onnx': 'onnx',
    '.tflite': 'tflite',
    '': 'savedmodel',  # A folder.
}
_VERSION = 1  # Of the format.


@dataclasses.dataclass(frozen=True)
class About:
  """What is known of an exported model beside its program.

  Attributes:
    system: name of the model.
    task: of the run, a file of segjax/tasks.
    step: of the checkpoint.
    shape: of the images, [B, H, W, C].
    dtype: of the images, such as 'uint8': they are given as they are read.
    classes: names of the classes.
    colors: RGB of the classes.
    things: classes that are counted objects.
    overlapping: whether a pixel may be of several classes.
    threshold: see `segjax.inference.bands.chosen`.
    jax: version of JAX that wrote the program.
  """

  system: str
  task: str
  step: int
  shape: tuple[int, int, int, int]
  dtype: str
  classes: tuple[str, ...]
  colors: tuple[tuple[int, int, int], ...]
  things: tuple[int, ...]
  overlapping: bool
  threshold: float
  jax: str = jax.__version__

  @property
  def label_map(self) -> LabelMap:
    """The classes, with ids in their order."""
    return LabelMap(
        names=self.classes,
        colors=self.colors,
        ids={i: i for i in range(len(self.classes))},
        things=self.things,
        overlapping=self.overlapping,
    )

  def as_json(self) -> str:
    """Returns the content of about.json."""
    return json.dumps(
        {'format': _VERSION, **dataclasses.asdict(self)}, indent=2
    )


def format_of(path: epath.PathLike) -> types.ModuleType:
  """Returns the module of the format that a name ends with.

  Raises:
    ValueError: there is no such format.
  """
  suffix = os.path.splitext(os.fspath(path).rstrip('/'))[1]
  if suffix not in FORMATS:
    raise ValueError(
        f'{os.fspath(path)}: the name of an exported model ends with'
        f' {", ".join(filter(None, FORMATS))}, or with none of them for a'
        ' folder, a SavedModel.'
    )
  package = 'segjax.artifacts.formats'
  return importlib.import_module(f'{package}.{FORMATS[suffix]}')


def write(
    path: epath.PathLike, function: Callable, about: About, **options
) -> None:
  """Writes a function of images, with the weights that it closes over.

  Args:
    path: of the file, whose name tells the format; nothing may be there.
    function: from images of `about.shape` and `about.dtype` to {name: array}.
    about: the rest.
    **options: of the format.

  Raises:
    FileExistsError: there is something.
    NotImplementedError: the format cannot express the function.
    ValueError: there is no such format, or it needs a package.
  """
  module, path = format_of(path), epath.Path(os.fspath(path).rstrip('/'))
  if path.exists():
    raise FileExistsError(f'{path} exists already: choose another name.')
  images = jax.ShapeDtypeStruct(about.shape, np.dtype(about.dtype))
  path.parent.mkdir(parents=True, exist_ok=True)
  module.write(path, function, images, about, **options)


def read(path: epath.PathLike) -> tuple[Callable, About]:
  """Returns the function of an exported model, and what is known of it.

  The function takes images and returns {name: array}, of NumPy.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no exported model, or of a newer format, or its runtime is
      not installed.
  """
  module, path = format_of(path), epath.Path(os.fspath(path).rstrip('/'))
  if not path.exists():
    raise FileNotFoundError(f'There is no exported model {path}.')
  try:
    call, text = module.read(path)
    content = json.loads(text)
  except ValueError as error:
    raise ValueError(
        f'{path} is no model that python -m segjax.export wrote, or damaged, or'
        f' cannot be run here: {error}'
    ) from error
  if content.pop('format') != _VERSION:
    raise ValueError(
        f'{path} was written by another version of segjax; export it again.'
    )
  content = {
      name: tuple(tuple(x) if isinstance(x, list) else x for x in value)
      if isinstance(value, list)
      else value
      for name, value in content.items()
  }
  return call, About(**content)
