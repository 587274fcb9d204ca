r"""FastFCN, https://arxiv.org/abs/1903.11816.

The paper reports 51.05 mIoU on Pascal Context val (ResNet-50, head 'enc', one
scale) and 42.75 on ADE20K val (the same, several scales). mmsegmentation, whose
network and recipe other data sets have, reports 79.26 on Cityscapes val
(ResNet-50, head 'psp', 80k steps).

  bash launch/local.sh --config=configs/fastfcn.py
  python -m segjax.main --workdir=runs/context \
      --config=configs/fastfcn.py:dataset=pascal_context,head=enc

The first, head 'psp' on a tiny ResNet from random weights, has 87.3 mIoU on val
of the drawn shapes after 700 steps, 2 minutes of CPU time; with the head 'enc',
by --config=configs/fastfcn.py:head=enc, 85.7.
"""

from configs import common

CROP = 'random_crop(480, cat_max_ratio=1.0)|flip|blur|normalize'
# The authors' for the sets of the paper: 80 epochs, and 120.
RECIPES = {
    'pascal_context': dict(
        train=f"resize(520, mode='short')|random_scale(0.5, 2.0)|{CROP}",
        steps=25_000,
        batch=16,
        lr=1e-3,
    ),
    'ade20k': dict(
        train=f"resize(520, mode='short')|random_scale(0.5, 2.0)|{CROP}",
        steps=152_000,
        batch=16,
        lr=1e-2,
    ),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`. `head` is psp, aspp or enc."""
  arg = common.parse_arg(
      arg, dataset='shapes', backbone='', head='psp', small=False
  )
  recipe = {} if arg.small else RECIPES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'fastfcn'
  if arg.small:
    backbone = 'resnet/tiny'
  elif recipe:
    backbone = 'resnet/50_v1s'
  else:
    backbone = 'resnet/50_v1c(dilations=(1, 1, 2, 4))'
  config.model = dict(
      backbone=arg.backbone or backbone,
      head=arg.head,
      features=512,
      bins=(1, 2, 3, 6),
      rates=(12, 24, 36),
      num_codewords=32,
      align_corners=False,
      dropout=0.1,
      aux_level='c4',
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  config.system_loss.presence_weight = 0.2
  if arg.small:  # In small feature maps, larger rates would read only padding.
    config.model.update(features=64, rates=(3, 6, 9))
  if not recipe:
    return config
  config.model.align_corners = True
  config.aux_weight = 0.4 if arg.head == 'psp' else 0.2
  config.optim.weight_decay = 1e-4
  config.optim.factors = (('^(?!backbone/)', 10.0),)
  config.lr.base = recipe['lr']
  config.lr.schedule = 'poly(power=0.9)'
  return config
