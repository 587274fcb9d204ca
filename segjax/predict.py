"""Predicts labels of images with a trained model.

  python -m segjax.predict --workdir=runs/deeplabv3 IMAGES --output=DIR
  python -m segjax.predict --exported=deeplabv3.stablehlo IMAGES --output=DIR

In Python:

  predict = segjax.predict.load('runs/deeplabv3', flip=True)
  labels, probabilities = predict(image)

Several runs of the same classes, --workdir=runs/a --workdir=runs/b or
`load(['runs/a', 'runs/b'])`, are an ensemble: the mean of their probabilities.

An ensemble, or a system that samples, such as bayesian_segnet, also computes
how uncertain a prediction is, the variance of probabilities. It is drawn in
NAME_uncertainty.png, see `pictures.uncertainty`, and with --probabilities
written to NAME_uncertainty.npz. In Python:

  labels, probabilities, variance = predict.with_variance(image)

Pseudo-labels: --min_confidence=0.9 writes 255, which is ignored in training,
where the probability of the predicted class is lower, and a dataset.json that
names the classes. With --output=DIR/train/masks for the images in
DIR/train/images, DIR is a set of config.dataset.mix.

With --raw_ids masks are written in the raw ids of the data set, too, as its
server takes them, see `segjax.data.raw_ids`; and with --polygons=coco or
--polygons=geojson what is predicted as polygons, see
`segjax.artifacts.polygons`.

With --windows images are read, predicted and written by windows, as GeoTIFF
files of any size, see `segjax.predict_windows`.

Systems on region proposals read them from files NAME.npz in the folder
--proposals=DIR, or take them as `predict(image, proposals=...)`, [H, W, N] of 0
and 1.
"""

import collections
from collections.abc import Sequence
import json
import os
import time

from absl import app
from absl import flags
from absl import logging
from etils import epath

from segjax import predict_images
from segjax import predict_windows
from segjax import specs
from segjax.artifacts import polygons as polygon_files
from segjax.artifacts.workdir import write_json
from segjax.data import image as images
from segjax.data import listing
from segjax.exported import ExportedPredictor
from segjax.predictor import Ensemble
from segjax.predictor import Predictor
from segjax.predictor import load
from segjax.runtime import compile_cache
from segjax.runtime import malloc
from segjax.runtime import progress
from segjax.runtime import terminal

# File in the folder of predictions that tells what they are of.
RECORD = '.prediction.json'
LONGEST_NAME = 255  # Bytes of a name that file systems take.

_WORKDIR = flags.DEFINE_multi_string(
    'workdir',
    None,
    'Folder of a trained run; given again, the mean of their probabilities is'
    ' predicted.',
)
_EXPORTED = flags.DEFINE_string(
    'exported', None, 'File that segjax.export wrote, in the place of a run.'
)
_OUTPUT = flags.DEFINE_string('output', None, 'Folder for the predictions.')
_PROPOSALS = flags.DEFINE_string(
    'proposals',
    '',
    'Folder of files NAME.npz with region proposals, for systems on these.',
)
_PROBABILITIES = flags.DEFINE_bool(
    'probabilities',
    False,
    'Whether to write NAME.npz too, [H, W, K] float16, and for a system that'
    ' samples, or an ensemble, the variance, NAME_uncertainty.npz.',
)
_MIN_CONFIDENCE = flags.DEFINE_float(
    'min_confidence',
    0.0,
    'Probability of the predicted class below which a pixel is written as 255,'
    ' ignored; 0 writes all classes.',
    lower_bound=0.0,
    upper_bound=1.0,
)
_RAW_IDS = flags.DEFINE_bool(
    'raw_ids',
    False,
    'Whether to write masks in the raw ids of the data set, too, in the files'
    ' that its server takes.',
)
_POLYGONS = flags.DEFINE_enum(
    'polygons',
    '',
    ('', *polygon_files.FORMATS),
    'Format of polygons to write, too: "coco" for polygons.json of all images,'
    ' "geojson" for NAME.geojson, in map coordinates of a georeferenced image.',
)
_WINDOWS = flags.DEFINE_bool(
    'windows',
    False,
    'Whether to read, predict and write images by windows: NAME.tif takes the'
    ' place of NAME.png, with the transform and the reference system of the'
    ' image, which may be larger than the memory.',
)
_OPTIONS = flags.DEFINE_string(
    'options',
    '',
    'Fields of config.predict to change, as in'
    ' "flip=True, scales=(0.75, 1.0)".',
)


def find_images(paths: Sequence[str | os.PathLike]) -> list[epath.Path]:
  """Lists image files: those given, and those in folders that are given.

  Hidden files in a folder are left out: file managers put them there.

  Raises:
    FileNotFoundError: a path does not exist, or a folder has no images.
    ValueError: two images have the same name.
  """
  image_paths = []
  for path in map(epath.Path, paths):
    if path.is_dir():
      inside = listing.find(path, images.SUFFIXES, recursive=False)
      if not inside.files:
        raise FileNotFoundError(
            f'There are no images in {path}; looked for'
            f' {", ".join(sorted(images.SUFFIXES))}.'
        )
      if inside.left_out:
        logging.info('Left out in %s: %s.', path, inside.describe_rest())
      image_paths += [file for _, file in inside.files]
    elif path.exists():
      image_paths.append(path)
    else:
      raise FileNotFoundError(f'There is no image {path}.')
  stems = collections.Counter(path.stem for path in image_paths)
  if repeated := sorted(stem for stem, count in stems.items() if count > 1):
    raise ValueError(
        'These images would be written to the same file:'
        f' {", ".join(repeated)}. Predict them in several calls.'
    )
  return image_paths


def write(
    predictor: Predictor | Ensemble | ExportedPredictor,
    paths: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    *,
    probabilities: bool = False,
    proposals: str = '',
    min_confidence: float = 0.0,
    raw_ids: bool = False,
    polygons: str = '',
    windows: bool = False,
) -> None:
  """Predicts image files and writes the predictions.

  For label maps the files are NAME.png and NAME_overlay.png; other tasks define
  theirs in segjax/tasks. An image that cannot be predicted is named in the log,
  and the others are predicted. Called again with the same model and images, it
  predicts those with missing files; `RECORD` in the folder tells which model
  and images the files are of.

  Args:
    predictor: a `Predictor`, an `Ensemble`, or an `ExportedPredictor`.
    paths: image files, and folders of image files.
    output: folder to write to.
    probabilities: whether to write NAME.npz with the probabilities too.
    proposals: folder of files NAME.npz with region proposals, for a model that
      reads them.
    min_confidence: where the probability of the predicted class is lower, a
      pixel is 255, ignored; and a dataset.json names the classes. 0 for all.
    raw_ids: whether to write, too, what the server of the data set takes, see
      `segjax.data.raw_ids`; detections and segments are then told by raw ids.
    polygons: format of polygons to write, too, see `segjax.artifacts.polygons`;
      '' writes none.
    windows: whether to predict by windows and write GeoTIFF files, see
      `segjax.predict_windows`.

  Raises:
    FileNotFoundError: an image is missing.
    ValueError: a file would be overwritten or written twice, or two of the
      options exclude each other or do not fit the model: these are found before
      the first image is predicted; or, after the last one, some images could
      not be predicted.
  """
  output = epath.Path(output)
  sources = {path.stem: path for path in find_images(paths)}
  if windows:
    _check_windows(output, proposals, min_confidence, raw_ids, polygons)
    writer = predict_windows.Writer(
        predictor, sources, probabilities=probabilities, polygons=polygons
    )
  else:
    writer = predict_images.Writer(
        predictor,
        sources,
        probabilities=probabilities,
        proposals=proposals,
        min_confidence=min_confidence,
        raw_ids=raw_ids,
        polygons=polygons,
    )
  files = {name: writer.files(name) for name in sources}
  _check_names(files, sources, output)
  output.mkdir(parents=True, exist_ok=True)
  names, record = _unwritten(writer, files, sources, output)
  writer.begin(output)
  write_json(output / RECORD, record)
  if len(names) < len(sources):
    logging.info(
        '%d of %d images are predicted already, in %s, and left out.',
        len(sources) - len(names),
        len(sources),
        output,
    )
  failed = {}

  def fail(example, error):
    name = example['name']
    said = str(error).strip() or 'no reason is given'
    if not isinstance(error, ValueError | OSError):
      said = f'{type(error).__name__}: {said}'
      logging.debug('', exc_info=error)
    source = str(sources[name])
    # Whoever raised the error may have known the file, or its name alone.
    failed[name] = said if source in said else f'{source}: {said}'
    logging.error('Not predicted: %s', failed[name])

  start = first = time.monotonic()
  try:
    for _ in progress.track(
        writer.write(output, names, fail), len(names), 'Predicting'
    ):
      if first == start:
        first = time.monotonic()
  finally:  # What is done stays useful if the rest fails.
    writer.finish(output)
  seconds = time.monotonic() - start
  done = len(names) - len(failed)
  if done:
    logging.info(
        '%d images in %.1f s, from file to file: %.2f images/s. The first took'
        ' %.1f s, with compiling. They are in %s.',
        done,
        seconds,
        done / seconds,
        first - start,
        output,
    )
  if failed:
    raise ValueError(
        f'{len(failed)} of {len(sources)} images could not be predicted; the'
        f' others are in {output}. The same command goes on with these alone'
        ' once they are mended:\n  ' + '\n  '.join(failed.values())
    )


def _check_names(files, sources, output):
  """Raises ValueError if a file cannot be written, or twice or over an image.

  Args:
    files: {name of an image: names of the files that are written of it}.
    sources: {name of an image: its path}.
    output: folder of these files.
  """
  owner = {}
  inputs = {path.resolve() for path in sources.values()}
  folder = output.resolve()
  for name, written in files.items():
    for file in written:
      # It is written beside its place first, see `atomic.replacing`.
      length = len(os.fsencode(f'.{os.path.basename(file)}.tmp'))
      if length > LONGEST_NAME:
        raise ValueError(
            f'{sources[name]}: its name is too long by'
            f' {length - LONGEST_NAME} bytes for the file {file}: give it a'
            ' shorter one.'
        )
      if file in owner:
        raise ValueError(
            f'Both {sources[owner[file]]} and {sources[name]} would be written'
            f' to {file}: rename one, or predict them in several calls with an'
            ' --output for each.'
        )
      owner[file] = name
      if folder / file in inputs:
        raise ValueError(
            f'{folder / file} is an image to predict and would be overwritten:'
            ' choose another --output.'
        )


def _check_windows(output, proposals, min_confidence, raw_ids, polygons):
  """Raises ValueError if an option does not go with windows."""
  for name, value, instead in (
      ('proposals', proposals, 'leave it out'),
      ('min_confidence', min_confidence, 'leave it out'),
      ('raw_ids', raw_ids, 'leave it out: NAME.tif has class ids'),
      ('polygons', polygons == 'coco', 'write them as geojson'),
      ('output', '://' in str(output), 'name a folder of this machine'),
  ):
    if value:
      raise ValueError(f'--{name} does not go with --windows: {instead}.')


def _there(output, files):
  """Returns the names of what there is in the folders that are written to."""
  folders = {os.path.dirname(file) for of in files.values() for file in of}
  return {
      os.path.join(folder, path.name)
      for folder in {'', *folders}
      if (output / folder).exists()
      for path in (output / folder).iterdir()
  }


def _unwritten(writer, files, sources, output):
  """Returns the names of images to predict, and the record of all of them.

  Args:
    writer: of the files; its summaries take over what is told there.
    files: {name of an image: names of the files that are written of it}.
    sources: {name of an image: its path}.
    output: folder of these files.

  Raises:
    ValueError: there are files of these names that another prediction, or
      somebody else, has written.
  """
  path = output / RECORD
  images_now = {name: str(path.resolve()) for name, path in sources.items()}
  before = json.loads(path.read_text()) if path.exists() else {}
  about = writer.about
  same = before and {k: v for k, v in before.items() if k != 'images'} == about
  recorded = before['images'] if same else {}
  there = _there(output, files)
  foreign = [
      file
      for name, written in files.items()
      if recorded.get(name) != images_now[name]
      for file in written
  ]
  summaries = {each.summary: each for each in writer.summaries if each.summary}
  if not same:
    foreign += summaries
  if taken := [file for file in foreign if file in there]:
    raise ValueError(
        f'{output / taken[0]} exists already, and so do {len(taken) - 1}'
        ' others: choose another --output. A prediction goes on in its folder'
        ' only with the same images, checkpoint and options.'
    )
  told = set(files)
  for summary, each in summaries.items():
    told &= each.resume(output) if summary in there else set()
  names = [
      name
      for name, written in files.items()
      if name not in told or not there.issuperset(written)
  ]
  return names, about | {'images': recorded | images_now}


def main(argv):
  """Predicts the images that the flags and arguments name."""
  with terminal.errors_in_words():
    if len(argv) < 2:
      raise ValueError('Name at least one image, or a folder of images.')
    malloc.tune()
    compile_cache.enable()
    compile_cache.relax_gc()
    options = specs.options(_OPTIONS.value)
    if (_WORKDIR.value is None) == (_EXPORTED.value is None):
      raise ValueError('Give --workdir or --exported, one of them.')
    if _EXPORTED.value and options:
      raise ValueError(
          f'--options={_OPTIONS.value!r} are of a run: an exported model'
          ' predicts in one way, leave them out.'
      )
    if _WINDOWS.value and not _EXPORTED.value:
      options = {'mode': 'slide'} | options
    predictor = (
        ExportedPredictor(_EXPORTED.value)
        if _EXPORTED.value
        else load(_WORKDIR.value, **options)
    )
    write(
        predictor,
        argv[1:],
        _OUTPUT.value,
        probabilities=_PROBABILITIES.value,
        proposals=_PROPOSALS.value,
        min_confidence=_MIN_CONFIDENCE.value,
        raw_ids=_RAW_IDS.value,
        polygons=_POLYGONS.value,
        windows=_WINDOWS.value,
    )


if __name__ == '__main__':
  flags.mark_flags_as_required(['output'])
  app.run(main, flags_parser=terminal.parse_flags)
