r"""U-Net on a backbone, as in segmentation_models_pytorch.

The library publishes neither scores nor a recipe; this recipe is
mmsegmentation's for other systems on ResNets. With `scse` it is the U-Net of
https://arxiv.org/abs/1803.02579, whose scans are not among the data sets here.
Ours: 60.4 mIoU on val of `shapes`, a tiny ResNet and a narrow decoder from
random weights, 700 steps in 2.3 CPU minutes, by the first command; it still
rises, from 54.9 after 350 steps. Wider decoders were not tried.

  bash launch/local.sh --config=configs/unet_backbone.py
  python -m segjax.main --workdir=runs/voc2012 \
      --config=configs/unet_backbone.py:dataset=voc2012 --config.model.scse=sum
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'unet_backbone'
  config.model = dict(
      backbone=arg.backbone or ('resnet/tiny' if arg.small else 'resnet/34'),
      features=(256, 128, 64, 32, 16),
      scse='',
      reduction=16,
  )
  if arg.small:
    config.model.update(features=(32, 24, 16, 16, 8))
  return config
