"""TFLite, for LiteRT on phones and boards, with floats or 8-bit integers.

A file ends with a zip archive of `about.json` and `labels.txt`, as files with
TensorFlow's metadata do: the runtime reads what is before it.
"""

from collections.abc import Callable
from collections.abc import Iterable
import io
import zipfile

from etils import epath
import jax
from jax.extend import core
import numpy as np

from segjax.artifacts import portable
from segjax.artifacts.formats import needed
from segjax.artifacts.formats import savedmodel
from segjax.runtime import atomic


def write(
    path: epath.Path,
    function: Callable,
    images: jax.ShapeDtypeStruct,
    about,
    examples: Iterable[np.ndarray] | None = None,
) -> None:
  """Writes a function of images; see `segjax.artifacts.exported.write`.

  Args:
    path: of the file.
    function: of images.
    images: their shape.
    about: what is known of the model.
    examples: batches of images that show the ranges of all activations; with
      them, weights and activations become 8-bit integers.
  """
  program, results = portable.rewrite(function, images, finite=True)
  names = sorted(results)  # A dict is flattened in the order of its names.
  compute = core.jaxpr_as_fun(program)
  module, call = savedmodel.tensorflow_module(
      lambda image: dict(zip(names, compute(image), strict=True)),
      images,
      ('cpu',),
  )
  import tensorflow as tf

  converter = tf.lite.TFLiteConverter.from_concrete_functions([call], module)
  converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
  if examples is not None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops.insert(
        0, tf.lite.OpsSet.TFLITE_BUILTINS_INT8
    )
    converter.representative_dataset = lambda: ([x] for x in examples)
  try:
    content = converter.convert()
  except Exception as error:  # Of several kinds, with pages of the program.
    # The first line names a line of this library, and then what is wrong.
    first = str(error).strip().partition('\n')[0].rpartition('error: ')[2]
    raise NotImplementedError(
        f'TFLite cannot express this model: {first[:300]}'
    ) from error
  archive = io.BytesIO()
  with zipfile.ZipFile(archive, 'w', zipfile.ZIP_STORED) as file:
    file.writestr('about.json', about.as_json())
    file.writestr('labels.txt', '\n'.join(about.classes) + '\n')
  with atomic.replacing(path) as file:
    file.write(content)
    file.write(archive.getvalue())


def read(path: epath.Path) -> tuple[Callable, str]:
  """Returns the function of images, and the text of about.json.

  Raises:
    ValueError: it is no such file.
  """
  litert = needed('ai_edge_litert.interpreter', 'Running a TFLite model')
  content = path.read_bytes()
  try:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
      about = archive.read('about.json').decode()
    interpreter = _interpreter(litert, content)
    program = interpreter.get_signature_runner()
  except (zipfile.BadZipFile, KeyError, RuntimeError) as error:
    raise ValueError(str(error)) from error
  return lambda images: program(image=images), about


def _interpreter(litert, content):
  """Returns an interpreter that is ready, with its fast kernels if they fit."""
  interpreter = litert.Interpreter(model_content=content)
  try:
    interpreter.allocate_tensors()
  except RuntimeError:
    # XNNPACK refuses some graphs of integers, which the others compute.
    kinds = litert.OpResolverType
    interpreter = litert.Interpreter(
        model_content=content,
        experimental_op_resolver_type=kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
  return interpreter
