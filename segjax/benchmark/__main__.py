r"""Measures speed: `python -m segjax.benchmark --models=deeplabv3,unet`.

  python -m segjax.benchmark --models=deeplabv3 --what=forward,train \
      --peer=torch --peer_python=peers/torch/bin/python --output=speed.json

A step of training is forward, cross entropy and 0.4 times that of auxiliary
heads, backward, and SGD with momentum; batch norm takes its statistics from the
batch. Forward goes to a label map at the size of the image, on the device.
Images and labels are noise. Peers run the same networks, see `pairs`, in
processes of their own, in turns with ours: 'torch' is PyTorch, eager and
compiled, 'keras' KerasHub on JAX, 'plain' ours with XLA's own convolutions.
"""

import sys

from absl import app
from absl import flags

from segjax.benchmark import report
from segjax.benchmark import run
from segjax.benchmark.pairs import PAIRS
from segjax.runtime import terminal

_MODELS = flags.DEFINE_list('models', ['deeplabv3'], f'Of {", ".join(PAIRS)}.')
_WHAT = flags.DEFINE_list(
    'what', ['forward', 'train'], f'Of {", ".join(run.WHAT)}.'
)
_SIZE = flags.DEFINE_list(
    'size', ['513', '513'], 'Height and width of images, or one for both.'
)
_BATCH = flags.DEFINE_integer('batch', 2, 'Images of a step.', lower_bound=1)
_DTYPE = flags.DEFINE_enum(
    'dtype', 'float32', run.DTYPES, 'Of activations, on both sides.'
)
_DEVICES = flags.DEFINE_integer(
    'devices', 1, 'That ours runs on; peers run on one.', lower_bound=1
)
_PEER = flags.DEFINE_list('peer', [], f'Of {", ".join(run.PEERS)}.')
_PEER_PYTHON = flags.DEFINE_string(
    'peer_python', sys.executable, 'Interpreter of the environment of a peer.'
)
_SECONDS = flags.DEFINE_float(
    'seconds', 10.0, 'To spend on each measurement.', lower_bound=0.0
)
_REPEATS = flags.DEFINE_integer(
    'repeats', 5, 'Turns of each, whose spread is told.', lower_bound=1
)
_OUTPUT = flags.DEFINE_string('output', '', 'JSON file to write.')
_PROFILE = flags.DEFINE_string(
    'profile', '', 'Folder for traces of our steps; shows where time goes.'
)
_FOLDER = flags.DEFINE_string(
    'folder', '', 'Own data set for data; else pairs are written.'
)
_THREADS = flags.DEFINE_integer('threads', 2, 'That read.', lower_bound=1)
_WORKDIR = flags.DEFINE_string('workdir', '', 'Of the run for predict.')
_MARKDOWN = flags.DEFINE_bool('markdown', False, 'Prints a table to paste.')


def main(argv):
  """Measures what the flags say, and shows it."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  with terminal.errors_in_words():
    options = run.Options(
        models=_MODELS.value,
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
    )
    rows, workers = [], {}
    for found in run.run(options, workers):
      report.show(found)
      rows += found
      if _OUTPUT.value:  # Each time: what comes may fail.
        report.write(_OUTPUT.value, report.about(workers), rows)
    if _MARKDOWN.value:
      print(report.markdown(rows))


if __name__ == '__main__':
  app.run(main, flags_parser=terminal.parse_flags)
