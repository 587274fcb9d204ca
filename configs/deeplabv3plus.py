r"""DeepLabv3+, https://arxiv.org/abs/1802.02611.

  bash launch/local.sh --config=configs/deeplabv3plus.py
  python -m segjax.main --workdir=runs/voc \
      --config=configs/deeplabv3plus.py:dataset=voc2012,backbone=resnet/101

The paper reports 89.0 mIoU on the test set of PASCAL VOC 2012 and 82.1 on that
of Cityscapes (abstract), both with Xception and additional training data.
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'deeplabv3plus'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'xception/65'),
          output_stride=8 if arg.dataset == 'shapes' else 16,
      ),
      rates=(6, 12, 18),
      features=256,
      low_features=48,
      separable=True,
      between=True,
      image_first=True,
      project_kernel=1,
      aspp_refine=False,
      refinements=2,
      align_corners=True,
      dropout=(0.1, 0.0, 0.0),
      aux_features=0,
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  if arg.small:  # In small feature maps, larger rates would read only padding.
    config.model.update(rates=(3, 6, 9), features=128)
  if arg.dataset == 'shapes':
    config.model.update(features=64, low_features=16)
  return config
