r"""ACFNet, https://arxiv.org/abs/1909.09408.

Paper: 81.85 mIoU on Cityscapes test (ResNet-101 with ASPP, fine labels alone).
Ours: 88.2 on val of `shapes`, a tiny ResNet from random weights, 700 steps in
2.5 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/acfnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/acfnet.py:dataset=cityscapes

On Cityscapes it is the recipe of zrl4836/ACFNet, a port by others than the
authors; the weights of the auxiliary losses are ascribed to the paper, and were
not compared with its text.
"""

from configs import common

CITYSCAPES = dict(
    train='random_scale(0.5, 1.6, step=0.1)|random_crop(769)|flip'
    f'|{common.BGR}',
    eval=common.BGR,
    steps=40_000,
    batch=8,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  paper = arg.dataset == 'cityscapes' and not arg.small
  config = common.base(
      arg.dataset,
      small=arg.small,
      aux_weight={'coarse': 0.6, 'c4': 0.4},
      **(CITYSCAPES if paper else {}),
  )
  name = arg.backbone or f'resnet/{"tiny" if arg.small else "101_v1s"}'
  options = {}
  if name.startswith('resnet/'):
    options = dict(dilate_first=True, ceil_pool=True, absolute_scale=True)
  config.model_name = 'acfnet'
  config.model = dict(
      backbone=common.backbone(name, output_stride=8, **options),
      rates=(12, 24, 36),
      features=512,
      fuse_features=1024,
      raw_scores=False,
      align_corners=True,
      dropout=0.1,
      coarse_dropout=0.5,
      center_dropout=0.2,
      aux_level='c4',
  )
  if arg.small:  # In small feature maps, larger rates would read only padding.
    config.model.update(rates=(2, 4, 6), features=32, fuse_features=64)
    config.model.update(coarse_dropout=0.1, center_dropout=0.1)
  if paper:
    config.lr.schedule = 'poly(power=0.9)'
  return config
