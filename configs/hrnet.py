r"""HRNet with its head for segmentation, https://arxiv.org/abs/1908.07919.

The paper reports 81.1 mIoU on Cityscapes val (W48, one scale), mmsegmentation
79.93 (W48, crops of 512x1024, 80k steps).

  bash launch/local.sh --config=configs/hrnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/hrnet.py:dataset=cityscapes,backbone=hrnet/w18
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'hrnet'
  config.model = dict(
      backbone=arg.backbone or ('hrnet/tiny' if arg.small else 'hrnet/w48'),
      align_corners=False,
      fuse_bias=True,
  )
  return config
