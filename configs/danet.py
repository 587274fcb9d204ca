r"""DANet, https://arxiv.org/abs/1809.02983.

The authors' code reports 79.93 mIoU on Cityscapes val (ResNet-101, one scale).
mmsegmentation, whose network and recipe other data sets have, reports 42.45 on
ADE20K val (ResNet-50, 160k steps). Ours: 79.9 mIoU on val of `shapes`, a tiny
ResNet from random weights, 700 steps in 2 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/danet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/danet.py:dataset=cityscapes

On Cityscapes, backbone, dilations, crops, epochs, learning rate and the three
losses are those of the authors' command; the weight decay is mmsegmentation's.
"""

from configs import common

CITYSCAPES = dict(  # 240 epochs.
    train='random_scale(0.5, 2.0)|random_crop(768, cat_max_ratio=1.0)|flip'
    '|normalize',
    steps=89_250,
    batch=8,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  paper = arg.dataset == 'cityscapes' and not arg.small
  config = common.base(
      arg.dataset,
      small=arg.small,
      aux_weight=dict(position=1.0, channel=1.0, c4=0.4),
      **(CITYSCAPES if paper else {}),
  )
  config.model_name = 'danet'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50_v1c'),
          output_stride=8,
      ),
      features=512,
      key_features=64,
      align_corners=False,
      dropout=0.1,
      aux_level='c4',
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  if arg.small:
    config.model.update(features=64, key_features=16)
  if paper:
    config.model.update(
        backbone=common.backbone(
            arg.backbone or 'resnet/101',
            output_stride=8,
            multi_grid=(1, 2, 4),
        ),
        align_corners=True,
        aux_level='',
    )
    config.lr.base = 3e-3
    config.lr.schedule = 'poly(power=0.9)'
  return config
