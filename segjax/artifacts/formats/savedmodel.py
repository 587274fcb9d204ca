"""TensorFlow's SavedModel, a folder, for TF Serving and tools on top of it.

The signature `serving_default` takes `image`. What is known of the model is in
assets.extra/about.json. The program is XLA's, with an algorithm for each
platform, as in `stablehlo`.
"""

from collections.abc import Callable
import os
import shutil

from etils import epath
import jax
import numpy as np

from segjax.artifacts.formats.stablehlo import PLATFORMS

ABOUT = 'assets.extra/about.json'


def write(
    path: epath.Path, function: Callable, images: jax.ShapeDtypeStruct, about
) -> None:
  """Writes a function of images; see `segjax.artifacts.exported.write`."""
  module, call = tensorflow_module(function, images, PLATFORMS)
  temporary = path.parent / f'.{path.name}.tmp'
  try:
    _tensorflow().saved_model.save(
        module, os.fspath(temporary), signatures={'serving_default': call}
    )
    (temporary / ABOUT).parent.mkdir(parents=True)
    (temporary / ABOUT).write_text(about.as_json())
    temporary.rename(path)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def read(path: epath.Path) -> tuple[Callable, str]:
  """Returns the function of images, and the text of about.json.

  Raises:
    ValueError: it is no such folder.
  """
  if not (path / ABOUT).exists():
    raise ValueError(f'it has no {ABOUT}')
  tf = _tensorflow()
  loaded = tf.saved_model.load(os.fspath(path))
  program = loaded.signatures['serving_default']

  def call(images):
    outputs = program(image=tf.constant(images))
    return {name: x.numpy() for name, x in outputs.items()}

  call.loaded = loaded  # The signature does not keep it alive.
  return call, (path / ABOUT).read_text()


def tensorflow_module(
    function: Callable, images: jax.ShapeDtypeStruct, platforms: tuple
) -> tuple:
  """Returns a function of images as a module of TensorFlow, and its signature.

  Args:
    function: from an array to {name: array}, in JAX.
    images: shape of the array.
    platforms: that it is lowered for.
  """
  tf = _tensorflow()
  from jax.experimental import jax2tf

  converted = jax2tf.convert(function, native_serialization_platforms=platforms)
  spec = tf.TensorSpec(images.shape, np.dtype(images.dtype), name='image')
  module = tf.Module()
  module.call = tf.function(converted, autograph=False, input_signature=[spec])
  return module, module.call.get_concrete_function()


def _tensorflow():
  """Imports TensorFlow, and keeps it from talking about its build."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  import tensorflow as tf

  return tf
