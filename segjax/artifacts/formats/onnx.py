"""ONNX, https://onnx.ai, for ONNX Runtime and what else reads it.

What is known of the model is in the properties of the file: `about.json`, and
beside it `classes` and `colors`, in their order, with commas between.
"""

from collections.abc import Callable

from etils import epath
import jax

from segjax.artifacts import portable
from segjax.artifacts.formats import needed
from segjax.runtime import atomic

INPUT = 'image'


def write(
    path: epath.Path, function: Callable, images: jax.ShapeDtypeStruct, about
) -> None:
  """Writes a function of images; see `segjax.artifacts.exported.write`."""
  needed('onnx', 'Writing ONNX')
  from segjax.artifacts import onnx_graph

  program, results = portable.rewrite(function, images)
  # A dict is flattened in the order of its names.
  model = onnx_graph.model(
      program,
      [INPUT],
      sorted(results),
      {
          'about.json': about.as_json(),
          'classes': ','.join(about.classes),
          'colors': ','.join(map(_hexadecimal, about.colors)),
      },
  )
  with atomic.replacing(path) as file:
    file.write(model.SerializeToString())


def read(path: epath.Path) -> tuple[Callable, str]:
  """Returns the function of images, and the text of about.json.

  Raises:
    ValueError: it is no such file.
  """
  runtime = needed('onnxruntime', 'Running an ONNX model')
  try:
    session = runtime.InferenceSession(
        path.read_bytes(), providers=runtime.get_available_providers()
    )
  except Exception as error:  # The runtime has errors of its own.
    raise ValueError(str(error)) from error
  about = session.get_modelmeta().custom_metadata_map.get('about.json')
  if about is None:
    raise ValueError('it has no property about.json')
  names = [output.name for output in session.get_outputs()]

  def call(images):
    return dict(zip(names, session.run(names, {INPUT: images}), strict=True))

  return call, about


def _hexadecimal(color):
  """Returns a colour (red, green, blue) as in '#ff0000'."""
  return '#' + ''.join(f'{part:02x}' for part in color)
