r"""DeepLabv3, https://arxiv.org/abs/1706.05587.

The paper reports 77.21 mIoU on VOC 2012 val (ResNet-101, multi-grid, output
stride 16).

  bash launch/local.sh --config=configs/deeplabv3.py
  python -m segjax.main --workdir=runs/voc \
      --config=configs/deeplabv3.py:dataset=voc2012,backbone=resnet/101

Trained from random weights on two cores of an AMD EPYC,

  python -m segjax.main --workdir=runs/camvid \
      --config=configs/deeplabv3.py:dataset=camvid,backbone=resnet/18,small=True

has 55.8 mIoU on CamVid val after 42 minutes. Images of val come from a drive of
training images. With one drive held out of training, by
--config.dataset.train_split=train_without_0006R0 and
--config.dataset.eval_split=0006R0, it has 36.2 on that drive.
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'deeplabv3'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/101'),
          output_stride=8 if arg.dataset == 'shapes' else 16,
      ),
      rates=(6, 12, 18),
      features=256,
      image_first=False,
      project_kernel=1,
      aspp_dropout=0.0,
      fuse=True,
      dropout=0.1,
      align_corners=False,
      aux_level='c4',
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  if arg.small:  # In small feature maps, larger rates would read only padding.
    config.model.update(rates=(3, 6, 9), features=128)
  if arg.dataset == 'shapes':
    config.model.update(features=64)
  return config
