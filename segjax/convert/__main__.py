r"""Turns weights of other libraries into a workdir, and back.

  python -m segjax.convert --source=torchvision --checkpoint=FILE.pth \
      --config=configs/deeplabv3.py:dataset=voc2012,backbone=resnet/50 \
      --output=runs/torchvision

writes a workdir for evaluation, prediction and `--config.init_from`, and prints
where each tensor went. `--backbone=resnet/50` instead of a config converts a
classifier of ImageNet, for `--config.init_from` alone. `--list` shows the
sources, systems and backbones that there are rules for, and weights by name:
`torchvision:resnet50-11ad3fa6` is a `--checkpoint` and, without a conversion, a
`--config.init_from`. It is fetched where it is needed first.

  python -m segjax.convert --workdir=runs/mine --to=FILE.safetensors

writes the best checkpoint under the names of the file that the run began with,
or, with `--source=torchvision --like=FILE.pth`, under those of another file.
"""

from absl import app
from absl import flags
from ml_collections import config_flags

from segjax.convert import workdirs
from segjax.runtime import terminal

_LIST = flags.DEFINE_bool(
    'list', False, 'Shows sources, their systems, and weights by name.'
)
_SOURCE = flags.DEFINE_string(
    'source', None, 'Source of the weights; see --list.'
)
_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'File with get_config(), and after a colon its argument.'
)
_BACKBONE = flags.DEFINE_string(
    'backbone', '', "Instead of a config, a classifier such as 'resnet/50'."
)
_CHECKPOINT = flags.DEFINE_string(
    'checkpoint',
    None,
    'File to read: .pth, .pt, .safetensors or .npz; or a name of --list, or an'
    " address 'https://...-DIGITS.pth' with digits of the file's SHA-256, which"
    ' are fetched if they are not in the cache.',
)
_KEY = flags.DEFINE_string(
    'key',
    '',
    'Entry of the file that holds the weights, where several may, or what their'
    ' names begin with.',
)
_EMA = flags.DEFINE_bool(
    'ema', False, 'Takes moving averages of the weights, if the file has both.'
)
_NUM_CLASSES = flags.DEFINE_integer(
    'num_classes', 0, 'Classes of the weights, if not those of the data set.'
)
_CHANNELS = flags.DEFINE_integer('channels', 3, 'Channels of the images.')
_OUTPUT = flags.DEFINE_string('output', None, 'Workdir to write.')
_WORKDIR = flags.DEFINE_string('workdir', None, 'Workdir to read.')
_TO = flags.DEFINE_string('to', None, 'File to write: .safetensors or .npz.')
_LIKE = flags.DEFINE_string('like', None, 'File that has the names for --to.')


def main(argv):
  """Converts weights, writes them back or lists rules, as the flags say."""
  with terminal.errors_in_words():
    if len(argv) > 1:
      raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
    if _LIST.value:
      print(workdirs.describe())
    elif _TO.value:
      _require(_WORKDIR)
      workdirs.write_back(
          _WORKDIR.value,
          _TO.value,
          source=_SOURCE.value,
          like=_LIKE.value,
      )
    else:
      _require(_SOURCE, _CHECKPOINT, _OUTPUT)
      given = dict(key=_KEY.value, ema=_EMA.value, channels=_CHANNELS.value)
      where = (_CHECKPOINT.value, _OUTPUT.value)
      if _BACKBONE.value:
        workdirs.convert_backbone(
            _SOURCE.value, _BACKBONE.value, *where, **given
        )
      else:
        _require(_CONFIG)
        workdirs.convert(
            _SOURCE.value,
            _CONFIG.value,
            *where,
            num_classes=_NUM_CLASSES.value,
            **given,
        )


def _require(*wanted):
  missing = [f'--{flag.name}' for flag in wanted if not flag.value]
  if missing:
    raise ValueError(f'{", ".join(missing)} must be given; see --help.')


if __name__ == '__main__':
  app.run(main, flags_parser=terminal.parse_flags)
