r"""Measures speed: `python -m segjax.benchmark --models=deeplabv3,unet`.

  python -m segjax.benchmark --models=deeplabv3 --what=forward,train \
      --peer=torch --peer_python=peers/torch/bin/python --output=speed.json

A training step is a forward pass, the cross entropy with 0.4 times that of
auxiliary heads, a backward pass, and an update by SGD with momentum; batch norm
uses the statistics of the batch. A forward pass ends with a label map at the
size of the image, on the device. Images and labels are noise. Peers run the
same networks, see `pairs`, in processes of their own and in turns with segjax:
'torch' is PyTorch, eager and compiled, 'keras' is KerasHub on JAX, and 'plain'
is segjax with XLA's own convolutions.

  python -m segjax.benchmark --models=light --what=latency --seconds=5

measures single images of 1024 x 2048 and 512 x 1024, or of one --size: mean and
95th percentile of the network alone, on the device, and from an image file to a
written file of labels. --output is written after each network and size.
"""

import sys

from absl import app
from absl import flags

from segjax.benchmark import report
from segjax.benchmark import run
from segjax.benchmark.pairs import LIGHT
from segjax.benchmark.pairs import MODELS
from segjax.runtime import terminal

_MODELS = flags.DEFINE_list(
    'models',
    ['deeplabv3'],
    f'Models to measure: {", ".join(MODELS)}; "light" stands for'
    f' {", ".join(LIGHT)}.',
)
_WHAT = flags.DEFINE_list(
    'what', ['forward', 'train'], f'What to measure: {", ".join(run.WHAT)}.'
)
_SIZE = flags.DEFINE_list(
    'size', ['513', '513'], 'Height and width of images, or one for both.'
)
_BATCH = flags.DEFINE_integer('batch', 2, 'Images per step.', lower_bound=1)
_DTYPE = flags.DEFINE_enum(
    'dtype',
    'float32',
    run.DTYPES,
    'Type of activations, of segjax and of peers.',
)
_DEVICES = flags.DEFINE_integer(
    'devices', 1, 'Devices that segjax uses; peers use one.', lower_bound=1
)
_PEER = flags.DEFINE_list(
    'peer', [], f'Libraries to compare with: {", ".join(run.PEERS)}.'
)
_PEER_PYTHON = flags.DEFINE_string(
    'peer_python', sys.executable, "Python of the peer's environment."
)
_SECONDS = flags.DEFINE_float(
    'seconds', 10.0, 'Seconds to spend on each measurement.', lower_bound=0.0
)
_REPEATS = flags.DEFINE_integer(
    'repeats', 5, 'Turns of each measurement.', lower_bound=1
)
_OUTPUT = flags.DEFINE_string(
    'output', '', 'JSON file to write, or NAME.md for a table in Markdown.'
)
_PROFILE = flags.DEFINE_string(
    'profile',
    '',
    'Folder for traces of the steps of segjax; shows where time goes.',
)
_FOLDER = flags.DEFINE_string(
    'folder', '', 'Data set for --what=data; by default images are generated.'
)
_THREADS = flags.DEFINE_integer(
    'threads', 2, 'Reading threads for --what=data.', lower_bound=1
)
_WORKDIR = flags.DEFINE_string('workdir', '', 'Trained run for --what=predict.')
_MARKDOWN = flags.DEFINE_bool('markdown', False, 'Prints a table in Markdown.')


def main(argv):
  """Measures what the flags say, and prints the results."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  with terminal.errors_in_words():
    options = run.Options(
        models=[
            name
            for word in _MODELS.value
            for name in (LIGHT if word == 'light' else [word])
        ],
        what=_WHAT.value,
        size=run.parse_size(_SIZE.value),
        batch=_BATCH.value,
        dtype=_DTYPE.value,
        devices=_DEVICES.value,
        peers=_PEER.value,
        peer_python=_PEER_PYTHON.value,
        seconds=_SECONDS.value,
        repeats=_REPEATS.value,
        profile=_PROFILE.value,
        folder=_FOLDER.value,
        threads=_THREADS.value,
        workdir=_WORKDIR.value,
        latency_sizes=(
            (run.parse_size(_SIZE.value),)
            if _SIZE.present
            else run.LATENCY_SIZES
        ),
    )
    rows, workers = [], {}
    for measured in run.run(options, workers):
      report.show(measured)
      rows += measured
      # The file is written after each measurement, since a later one may fail.
      if _OUTPUT.value:
        report.write(_OUTPUT.value, report.about(workers), rows)
    if _MARKDOWN.value:
      print(report.markdown(rows))


if __name__ == '__main__':
  app.run(main, flags_parser=terminal.parse_flags)
