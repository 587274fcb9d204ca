r"""ISANet, https://arxiv.org/abs/1907.12273.

The authors' code reports 79.55 mIoU on Cityscapes val (ResNet-101, one scale,
40k steps), mmsegmentation, whose network and recipe other data sets have, 42.59
on ADE20K val (ResNet-50, 160k steps). Ours: 83.8 on val of `shapes`, a tiny
ResNet from random weights, 700 steps in 2 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/isanet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/isanet.py:dataset=cityscapes

On Cityscapes it is the recipe of the authors' code, but that images keep their
aspect ratio, and that half of them change in brightness, and some in hue by 1
of 180, where the authors change the brightness of all and no hue.
"""

from configs import common

CITYSCAPES = dict(
    train='random_scale(0.5, 2.0)|random_crop(512, 1024, cat_max_ratio=1.0)'
    '|flip|photometric(10.0, (1.0, 1.0), (1.0, 1.0), 1)|normalize',
    class_weights=common.CITYSCAPES_WEIGHTS,
    steps=40_000,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  paper = arg.dataset == 'cityscapes' and not arg.small
  config = common.base(
      arg.dataset, small=arg.small, **(CITYSCAPES if paper else {})
  )
  config.model_name = 'isanet'
  network = 'resnet/101_v1s' if paper else 'resnet/50_v1c'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else network),
          output_stride=8,
      ),
      features=512,
      key_features=256,
      block=8,
      align_corners=False,
      dropout=0.1,
      aux_level='c4',
      aux_features=0,
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  if arg.small:
    config.model.update(features=64, key_features=32, block=4)
  if paper:
    config.model.update(dropout=0.05, aux_features=512)
    config.lr.schedule = 'poly(power=0.9)'
  return config
