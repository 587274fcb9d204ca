r"""LR-ASPP, https://arxiv.org/abs/1905.02244, section 6.4.

  bash launch/local.sh --config=configs/lraspp.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/lraspp.py:dataset=cityscapes

torchvision reports 57.9 mIoU on the images of COCO val2017 that show classes of
VOC, with these classes as labels.
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'lraspp'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone
          or ('mobilenet/tiny' if arg.small else 'mobilenet/v3_large'),
          output_stride=16,
      ),
      low='c3_first',
      features=128,
      pool_window=(0, 0),
      pool_stride=(1, 1),
  )
  return config
