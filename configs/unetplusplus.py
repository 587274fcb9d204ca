r"""U-Net++, https://arxiv.org/abs/1807.10165.

The paper segments nuclei, polyps, livers and nodules, whose data sets are not
among those here, and the library whose network it is publishes neither scores
nor a recipe; this recipe is mmsegmentation's for other systems on ResNets.

  bash launch/local.sh --config=configs/unetplusplus.py
  python -m segjax.main --workdir=runs/voc2012 \
      --config=configs/unetplusplus.py:dataset=voc2012 \
      --config.model.deep_supervision=True
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'unetplusplus'
  config.model = dict(
      backbone=arg.backbone or ('resnet/tiny' if arg.small else 'resnet/34'),
      features=(256, 128, 64, 32, 16),
      scse='',
      reduction=16,
      deep_supervision=False,
  )
  if arg.small:
    config.model.update(features=(96, 64, 32, 16, 8))
  return config
