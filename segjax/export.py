"""Writes a trained model as one file, which runs without segjax.

  python -m segjax.export --workdir=runs/voc --to=voc.stablehlo --size=512,512
  python -m segjax.predict --exported=voc.stablehlo photos/ --output=out/
  python -m segjax.main --config=... --workdir=runs/voc --mode=eval \
      --exported=voc.stablehlo

The file takes images as they are read, of one size: the preprocessing of the
run, its weights, and the way back to the size of the image are inside. For a
task per pixel it returns `labels` [B, H, W] and `probabilities` [B, H, W, K],
for others what their file in segjax/tasks names. It predicts the whole image
once: windows, scales, mirroring and refinements are left to `segjax.predict`.
`segjax.artifacts.exported` tells how to run the file with JAX alone.
"""

from collections.abc import Callable

from absl import app
from absl import flags
from absl import logging
from etils import epath
import jax
import jax.numpy as jnp

from segjax import experiment
from segjax.artifacts import checkpoint
from segjax.artifacts import exported
from segjax.artifacts.workdir import Workdir
from segjax.data import transforms
from segjax.inference import bands
from segjax.ops.resize import resize
from segjax.runtime import terminal

SUFFIX = '.stablehlo'


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


def function(
    workdir: Workdir, size: tuple[int, int], batch: int = 1
) -> tuple[Callable, exported.About]:
  """Returns the function of images that is exported, and what is known of it.

  Args:
    workdir: of a run, whose best checkpoint is taken.
    size: (height, width) of the images.
    batch: number of images.

  Raises:
    ValueError: the model reads more than images, or has other preprocessing
      than can be exported.
  """
  config = workdir.read_config()
  label_map, channels = workdir.read_labels()
  values = workdir.read_values()
  system = experiment.system(config, label_map)
  ops = transforms.parse(config.preprocess.eval)
  if system.reads != ('image',):
    raise ValueError(
        f'{system.name} reads {", ".join(system.reads)}; a model that reads'
        ' images alone can be exported.'
    )
  if config.predict.refine:
    raise ValueError(
        f'config.predict.refine={config.predict.refine!r} cannot be exported;'
        " set it to '' in config.json, and refine what the file predicts."
    )
  step, variables = checkpoint.best(workdir.checkpoints)
  threshold = config.predict.threshold
  temperature = config.predict.temperature or workdir.read_temperature(step)

  def predict(image):
    def apply(batch, key):
      return system.apply(variables, batch, rng=key)[0]

    x, content = prepared(ops, image)
    if system.halo:
      border = (system.halo, system.halo)
      x = jnp.pad(x, ((0, 0), border, border, (0, 0)), mode='reflect')
    key = jax.random.key(config.seed)
    outputs = system.predict(apply, {'image': x}, key)
    if not system.task.PER_PIXEL:
      return outputs
    logits = outputs.pop('logits')[:, : content[0], : content[1]]
    logits = resize(logits, size)
    activate = jax.nn.sigmoid if label_map.overlapping else jax.nn.softmax
    probabilities = activate(logits / temperature)
    labels = bands.chosen(probabilities, threshold, label_map.overlapping)
    return {'labels': labels, 'probabilities': probabilities}

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
) -> exported.About:
  """Exports the best checkpoint of a run; see `function`.

  Raises:
    FileExistsError: there is a file.
    ValueError: the name of the file does not end with `SUFFIX`, or see
      `function`.
  """
  if not str(path).endswith(SUFFIX):
    raise ValueError(f'--to={path}: the name of the file ends with {SUFFIX}.')
  predict, about = function(workdir, size, batch)
  exported.write(path, predict, about)
  return about


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
    )
    megabytes = epath.Path(_TO.value).stat().length / 1e6
    logging.info(
        '%s takes images %s of %s, and runs on %s: %.1f MB, step %d.',
        _TO.value,
        list(about.shape),
        about.dtype,
        ', '.join(exported.PLATFORMS),
        megabytes,
        about.step,
    )


if __name__ == '__main__':
  _WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a trained run.')
  _TO = flags.DEFINE_string('to', None, f'File to write, NAME{SUFFIX}.')
  _SIZE = flags.DEFINE_list(
      'size', None, 'Height and width of the images, such as 512,1024.'
  )
  _BATCH = flags.DEFINE_integer(
      'batch', 1, 'Number of images in a call.', lower_bound=1
  )
  flags.mark_flags_as_required(['workdir', 'to', 'size'])
  app.run(main, flags_parser=terminal.parse_flags)
