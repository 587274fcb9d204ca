r"""Deep dilated net for retinal vessels, https://arxiv.org/abs/1905.12120.

The paper's abstract claims state of the art on DRIVE and CHASE-DB1, with
training on whole images. Its numbers and the rest of its recipe are not known
here; this recipe is our own.

  bash launch/local.sh --config=configs/retinal_dilatednet.py
  python -m segjax.main --workdir=runs/drive \
      --config=configs/retinal_dilatednet.py:dataset=drive
"""

from configs import common

DRIVE = dict(
    train='flip|rotate(0.5, 180.0)|photometric|normalize|pad(584, 568)',
    steps=10_000,
    batch=4,
)


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  changes = DRIVE if arg.dataset == 'drive' else {}
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'retinal_dilatednet'
  config.model = dict(features=8 if arg.small else 64, rates=(1, 2, 4, 8))
  config.loss = 'cross_entropy + dice'
  if arg.dataset == 'drive':
    common.binary(config)
  return config
