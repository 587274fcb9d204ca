"""Reads and writes models in a single file, with what a user has to know.

A file is a zip archive: `module`, the program with its weights, as `jax.export`
writes it, for CPUs, CUDA GPUs and TPUs; and `about.json`, see `About`. Whoever
has JAX alone runs it so:

  with zipfile.ZipFile('model.stablehlo') as archive:
    model = jax.export.deserialize(bytearray(archive.read('module')))
  outputs = model.call(image)  # {'labels': ..., 'probabilities': ...}
"""

from collections.abc import Callable
import dataclasses
import json
import zipfile

from etils import epath
import jax
import numpy as np

from segjax.data.label_map import LabelMap
from segjax.runtime import atomic

PLATFORMS = ('cpu', 'cuda', 'tpu')
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


def write(path: epath.PathLike, function: Callable, about: About) -> None:
  """Writes a function of images, with the weights that it closes over.

  Args:
    path: of the file; nothing may be there.
    function: from images of `about.shape` and `about.dtype` to {name: array}.
    about: the rest.

  Raises:
    FileExistsError: there is something.
  """
  path = epath.Path(path)
  if path.exists():
    raise FileExistsError(f'{path} exists already: choose another name.')
  images = jax.ShapeDtypeStruct(about.shape, np.dtype(about.dtype))
  module = jax.export.export(jax.jit(function), platforms=PLATFORMS)(images)
  path.parent.mkdir(parents=True, exist_ok=True)
  with (
      atomic.replacing(path) as file,
      zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive,
  ):
    archive.writestr('about.json', about.as_json())
    archive.writestr('module', bytes(module.serialize()))


def read(path: epath.PathLike) -> tuple[Callable, About]:
  """Returns the function of an exported model, and what is known of it.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no exported model, or of a newer format.
  """
  path = epath.Path(path)
  if not path.is_file():
    raise FileNotFoundError(f'There is no exported model {path}.')
  try:
    with path.open('rb') as file, zipfile.ZipFile(file) as archive:
      content = json.loads(archive.read('about.json'))
      module = bytearray(archive.read('module'))
  except (zipfile.BadZipFile, KeyError, ValueError) as error:
    raise ValueError(
        f'{path} is no model that python -m segjax.export wrote, or damaged:'
        f' {error}.'
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
  return jax.jit(jax.export.deserialize(module).call), About(**content)
