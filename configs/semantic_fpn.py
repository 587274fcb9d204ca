r"""Semantic FPN, https://arxiv.org/abs/1901.02446.

The paper reports 77.7 mIoU on Cityscapes val (ResNet-101), mmsegmentation 75.80
there and 37.49 on ADE20K val (ResNet-50).

  bash launch/local.sh --config=configs/semantic_fpn.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/semantic_fpn.py:dataset=cityscapes

For Cityscapes, network and recipe are the paper's; for other data sets they are
mmsegmentation's.
"""

from configs import common

PAPER = dict(steps=65_000, batch=32)


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  changes = PAPER if arg.dataset == 'cityscapes' else {}
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'semantic_fpn'
  config.model = dict(
      backbone=arg.backbone
      or ('resnet/tiny' if arg.small else 'resnet/50_v1c'),
      pyramid_features=256,
      features=128,
      smooth=True,
      group_norm=False,
      dropout=0.1,
      drop_channels=False,
      align_corners=False,
  )
  if arg.small:
    config.model.update(pyramid_features=64, features=64)
  elif arg.dataset == 'cityscapes':
    config.model.update(
        backbone=arg.backbone or 'resnet/101', group_norm=True, dropout=0.0
    )
    config.optim.weight_decay = 1e-4
    # The rate is lowered after 40k and 55k steps.
    config.lr.schedule = 'multistep(at=(0.61538, 0.84615))'
  return config
