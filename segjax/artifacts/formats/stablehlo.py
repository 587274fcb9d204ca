"""StableHLO by `jax.export`, for CPUs, CUDA GPUs and TPUs.

A file is a zip archive of `module`, the program with its weights, and of
`about.json`. The program has an algorithm for each platform. Its norms are left
to XLA, which computes them where convolutions are written out.
"""

from collections.abc import Callable
import zipfile

from etils import epath
import jax
import numpy as np

from segjax.runtime import atomic

PLATFORMS = ('cpu', 'cuda', 'tpu')


def write(
    path: epath.Path, function: Callable, images: jax.ShapeDtypeStruct, about
) -> None:
  """Writes a function of images; see `segjax.artifacts.exported.write`."""
  module = jax.export.export(jax.jit(function), platforms=PLATFORMS)(images)
  with (
      atomic.replacing(path) as file,
      zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive,
  ):
    archive.writestr('about.json', about.as_json())
    archive.writestr('module', bytes(module.serialize()))


def read(path: epath.Path) -> tuple[Callable, str]:
  """Returns the function of images, and the text of about.json.

  Raises:
    ValueError: it is no such file.
  """
  try:
    with path.open('rb') as file, zipfile.ZipFile(file) as archive:
      about = archive.read('about.json').decode()
      module = bytearray(archive.read('module'))
  except (zipfile.BadZipFile, KeyError) as error:
    raise ValueError(str(error)) from error
  program = jax.jit(jax.export.deserialize(module).call)

  def call(images):
    return {name: np.asarray(x) for name, x in program(images).items()}

  return call, about
