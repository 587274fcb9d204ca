r"""PAN, Pyramid Attention Network, https://arxiv.org/abs/1805.10180, narrow.

Paper: 84.0 mIoU on VOC 2012 test (without COCO), of a wider network. The
library whose network it is publishes neither scores nor a recipe; this recipe
is mmsegmentation's for other systems on ResNets.

  bash launch/local.sh --config=configs/pan.py
  python -m segjax.main --workdir=runs/voc2012 \
      --config=configs/pan.py:dataset=voc2012
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'pan'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/34'),
          output_stride=16,
          dilate_first=True,
      ),
      features=32,
  )
  return config
