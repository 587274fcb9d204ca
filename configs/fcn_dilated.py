r"""FCN on a dilated ResNet, https://arxiv.org/abs/1411.4038.

mmsegmentation reports 73.61 mIoU on Cityscapes val (ResNet-50, output stride 8,
crops of 512x1024, 80k steps).

  bash launch/local.sh --config=configs/fcn_dilated.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/fcn_dilated.py:dataset=cityscapes,backbone=resnet/50_v1c
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'fcn_dilated'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50_v1c'),
          output_stride=8,
      ),
      head_convs=2,
      head_dilation=1,
      head_concat=True,
      dropout=0.1,
      aux_level='c4',
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  return config
