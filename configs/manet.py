r"""MA-Net, https://doi.org/10.1109/ACCESS.2020.3025372.

The paper segments scans of livers, which are not among the data sets here, and
the library whose network it is publishes neither scores nor a recipe; this
recipe is mmsegmentation's for other systems on ResNets. Ours: 59.0 mIoU on val
of `shapes`, which is drawn, after 700 steps from random weights, in 2.8 CPU
minutes, by the first command; it still rises, from 52.5 after 350.

  bash launch/local.sh --config=configs/manet.py
  python -m segjax.main --workdir=runs/voc2012 \
      --config=configs/manet.py:dataset=voc2012
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'manet'
  config.model = dict(
      backbone=arg.backbone or ('resnet/tiny' if arg.small else 'resnet/34'),
      features=(256, 128, 64, 32, 16),
      attention_features=64,
      reduction=16,
  )
  if arg.small:
    config.model.update(features=(96, 64, 32, 16, 8), attention_features=16)
  return config
