r"""Writes a trained model as one file, which runs without segjax.

  python -m segjax.export --workdir=runs/voc --to=voc.stablehlo --size=512,512
  python -m segjax.export --workdir=runs/voc --to=voc.onnx --size=512,512
  python -m segjax.export --workdir=runs/voc --to=voc.tflite --size=512,512 \
      --int8=100
  python -m segjax.export --workdir=runs/voc --to=savedmodel/ --size=512,512
  python -m segjax.predict --exported=voc.stablehlo photos/ --output=out/
  python -m segjax.main --config=... --workdir=runs/voc --mode=eval \
      --exported=voc.stablehlo

The file takes images as they are read, of one size: the preprocessing of the
run, its weights, and the way back to the size of the image are inside. For a
task per pixel it returns `labels` [B, H, W] and `probabilities` [B, H, W, K],
for others what their file in segjax/tasks names. It predicts the whole image
once: windows, scales, mirroring and refinements are left to `segjax.predict`.
`segjax.artifacts.exported` tells how to run the file with JAX alone. ONNX and
TFLite are written with the extra `export` installed, in float32, with batch
norms folded into the convolutions before them; launch/export.md tells which
systems they can express.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import pathlib

from absl import app
from absl import flags
from absl import logging
import cv2
from etils import epath
import jax
import jax.numpy as jnp
import numpy as np

from segjax import experiment
from segjax.artifacts import checkpoint
from segjax.artifacts import exported
from segjax.artifacts.workdir import Workdir
from segjax.data import transforms
from segjax.data.transforms import opencv
from segjax.inference import bands
from segjax.ops.resize import resize
from segjax.runtime import terminal
from segjax.system import System


def prepared(ops: tuple, image: jax.Array) -> tuple[jax.Array, tuple[int, int]]:
  """Applies the preprocessing of an evaluation on the device.

  It equals `transforms.apply` but for the rounding of resized integers.

  Args:
    ops: from `transforms.parse`.
    image: [B, H, W, C], as it was read.

  Returns:
    [B, h, w, C] float32, and how much of it is not padding, (height, width).

  Raises:
    ValueError: an op has no counterpart here.
  """
  x, content = image.astype(jnp.float32), image.shape[1:3]
  for op in ops:
    match op:
      case transforms.Normalize():
        mean, std = (jnp.asarray(n, jnp.float32) for n in (op.mean, op.std))
        x = (x - mean) / std
      case transforms.Bgr():
        x = x[..., ::-1]
      case transforms.Resize():
        old, new = x.shape[1:3], op.new_size(x.shape[1:3])
        x = resize(x, new)
        content = tuple(
            round(part * b / a)
            for part, a, b in zip(content, old, new, strict=True)
        )
      case transforms.Pad():
        missing = [b - a for a, b in zip(x.shape[1:3], op.size, strict=True)]
        if min(missing) < 0:
          raise ValueError(
              f'{op}: images of {x.shape[1]} x {x.shape[2]} are larger. Export'
              ' for a smaller --size.'
          )
        x = jnp.pad(x, ((0, 0), *((0, n) for n in missing), (0, 0)))
      case _:
        raise ValueError(
            f'{op} of config.preprocess.eval cannot be exported: resize, pad,'
            ' normalize and bgr can.'
        )
  return x, content


def predicted(
    system: System,
    variables: Mapping,
    ops: tuple,
    image: jax.Array,
    seed: int = 0,
) -> tuple[dict[str, jax.Array], tuple[int, int]]:
  """Returns what a system predicts of images, and how much is not padding.

  Args:
    system: see `program`, as for the others.
    variables: of its model.
    ops: preprocessing.
    image: [B, H, W, C], as it was read.
    seed: of what is drawn at random.
  """

  def apply(batch, key):
    return system.apply(variables, batch, rng=key)[0]

  x, content = prepared(ops, image)
  if system.halo:
    border = (system.halo, system.halo)
    x = jnp.pad(x, ((0, 0), border, border, (0, 0)), mode='reflect')
  key = jax.random.key(seed)
  return system.predict(apply, {'image': x}, key), content


def program(
    system: System,
    variables: Mapping,
    ops: tuple,
    size: tuple[int, int],
    *,
    threshold: float = 0.5,
    temperature: float = 1.0,
    seed: int = 0,
) -> Callable:
  """Returns the function of images that is exported.

  Args:
    system: that predicts.
    variables: of its model.
    ops: preprocessing of an evaluation, from `transforms.parse`.
    size: (height, width) of the images.
    threshold: see `segjax.inference.bands.chosen`.
    temperature: that logits are divided by, see `segjax.tools.calibrate`.
    seed: of what is drawn at random.

  Raises:
    ValueError: the model reads more than images.
  """
  if system.reads != ('image',):
    raise ValueError(
        f'{system.name} reads {", ".join(system.reads)}; a model that reads'
        ' images alone can be exported.'
    )
  # Arrays of NumPy could not be indexed by what is traced.
  variables = jax.device_put(variables)

  def predict(image):
    outputs, content = predicted(system, variables, ops, image, seed)
    if not system.task.PER_PIXEL:
      return outputs
    logits = outputs.pop('logits')[:, : content[0], : content[1]]
    logits = resize(logits, size)
    overlapping = system.label_map.overlapping
    activate = jax.nn.sigmoid if overlapping else jax.nn.softmax
    probabilities = activate(logits / temperature)
    labels = bands.chosen(probabilities, threshold, overlapping)
    return {'labels': labels, 'probabilities': probabilities}

  return predict


def function(
    workdir: Workdir,
    size: tuple[int, int],
    batch: int = 1,
    dtype: str = '',
) -> tuple[Callable, exported.About]:
  """Returns the function of images of a run, and what is known of it.

  Args:
    workdir: of a run, whose best checkpoint is taken.
    size: (height, width) of the images.
    batch: number of images.
    dtype: of activations; '' is that of the run.

  Raises:
    ValueError: the model reads more than images, or has other preprocessing
      than can be exported.
  """
  config = workdir.read_config()
  label_map, channels = workdir.read_labels()
  values = workdir.read_values()
  system = experiment.system(config, label_map)
  if dtype:
    system = dataclasses.replace(system, dtype=dtype)
  if config.predict.refine:
    raise ValueError(
        f'config.predict.refine={config.predict.refine!r} cannot be exported;'
        " set it to '' in config.json, and refine what the file predicts."
    )
  step, variables = checkpoint.best(workdir.checkpoints)
  threshold = config.predict.threshold
  predict = program(
      system,
      variables,
      transforms.parse(config.preprocess.eval),
      size,
      threshold=threshold,
      temperature=config.predict.temperature or workdir.read_temperature(step),
      seed=config.seed,
  )
  about = exported.About(
      system=system.name,
      task=config.task,
      step=step,
      shape=(batch, *size, channels),
      dtype=values.dtypes[0] if values else 'uint8',
      classes=label_map.names,
      colors=label_map.colors,
      things=label_map.things,
      overlapping=label_map.overlapping,
      threshold=threshold,
  )
  return predict, about


def write(
    workdir: Workdir,
    path: epath.PathLike,
    size: tuple[int, int],
    batch: int = 1,
    int8: int = 0,
) -> exported.About:
  """Exports the best checkpoint of a run; see `function`.

  Args:
    workdir: of the run.
    path: of the file, whose name tells the format.
    size: (height, width) of the images.
    batch: number of images.
    int8: number of images of the evaluated split by which the ranges of 8-bit
      integers are chosen, for TFLite; 0 keeps floats.

  Raises:
    FileExistsError: there is a file.
    NotImplementedError: the format cannot express the model.
    ValueError: the name ends with no known format, or see `function`.
  """
  kind = exported.format_of(path)
  if int8 and kind.__name__ != f'{exported.__package__}.formats.tflite':
    raise ValueError(
        f'--int8={int8} is for TFLite: give a name that ends with .tflite, or'
        ' leave it out.'
    )
  # Only what XLA runs computes in the type of the run; others have floats.
  by_xla = kind.__name__.endswith(('.stablehlo', '.savedmodel'))
  predict, about = function(workdir, size, batch, '' if by_xla else 'float32')
  options = {'examples': _examples(workdir, about, int8)} if int8 else {}
  exported.write(path, predict, about, **options)
  return about


def _examples(workdir, about, number):
  """Yields batches of images of the evaluated split, at the exported size."""
  dataset = experiment.eval_dataset(workdir.read_config())
  batch, *size, _ = about.shape
  for i in range(number):
    image = dataset[i % len(dataset)]['image']
    if image.shape[:2] != tuple(size):
      image = opencv.resize(image, tuple(size), cv2.INTER_LINEAR)
    yield np.stack([image] * batch)


def main(argv):
  """Exports as the flags say."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  with terminal.errors_in_words():
    if len(_SIZE.value) not in (1, 2) or not all(
        side.isdigit() for side in _SIZE.value
    ):
      raise ValueError(
          f'--size={",".join(_SIZE.value)}: give height and width in pixels,'
          ' such as 512,1024.'
      )
    sides = [int(side) for side in _SIZE.value]
    about = write(
        Workdir(_WORKDIR.value),
        _TO.value,
        (sides[0], sides[-1]),
        _BATCH.value,
        _INT8.value,
    )
    path = pathlib.Path(_TO.value)
    files = [f for f in path.rglob('*') if f.is_file()] or [path]
    logging.info(
        '%s takes images %s of %s: %.1f MB, step %d. Its score:\n  python -m'
        ' segjax.main --config=... --workdir=%s --mode=eval --exported=%s',
        _TO.value,
        list(about.shape),
        about.dtype,
        sum(file.stat().st_size for file in files) / 1e6,
        about.step,
        _WORKDIR.value,
        _TO.value,
    )


if __name__ == '__main__':
  _WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a trained run.')
  _TO = flags.DEFINE_string(
      'to',
      None,
      'File to write: NAME.stablehlo, NAME.onnx or NAME.tflite, or a folder'
      ' without an end, a SavedModel of TensorFlow.',
  )
  _SIZE = flags.DEFINE_list(
      'size', None, 'Height and width of the images, such as 512,1024.'
  )
  _BATCH = flags.DEFINE_integer(
      'batch', 1, 'Number of images in a call.', lower_bound=1
  )
  _INT8 = flags.DEFINE_integer(
      'int8',
      0,
      'Number of images of the evaluated split by which TFLite is quantised to'
      ' 8-bit integers, such as 100; 0 keeps floats.',
      lower_bound=0,
  )
  flags.mark_flags_as_required(['workdir', 'to', 'size'])
  app.run(main, flags_parser=terminal.parse_flags)
