r"""CPNet, https://arxiv.org/abs/2004.01547.

Paper: 46.3 mIoU on ADE20K val (ResNet-101, several scales), 53.9 on Pascal
Context, 81.3 on Cityscapes test. Ours: 78.8 on val of `shapes`, a tiny ResNet
from random weights, 700 steps in 2 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/cpnet.py
  python -m segjax.main --workdir=runs/ade20k \
      --config=configs/cpnet.py:dataset=ade20k,backbone=resnet/101_v1c

The model takes images of the size of the crops alone: another crop needs
another `config.model.sides` and `config.predict.window`. Learning rates, epochs
and crops of ADE20K, Pascal Context and Cityscapes are ascribed to the paper,
and were not compared with its text.
"""

import re

from configs import common

CROP = 'random_scale(0.5, 1.75, step=0.25)|random_crop({})|flip|normalize'
# 120, 80 and 240 epochs.
RECIPES = {
    'ade20k': dict(
        train="resize(512, mode='short')|" + CROP.format(512),
        steps=151_500,
        batch=16,
        lr=0.02,
    ),
    'pascal_context': dict(
        train="resize(520, mode='long')|" + CROP.format(480),
        steps=25_000,
        batch=16,
        lr=0.01,
    ),
    'cityscapes': dict(train=CROP.format(768), steps=44_600, batch=16, lr=0.01),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = {} if arg.small else RECIPES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  crop = re.search(r'random_crop\((\d+)(?:, (\d+))?', config.preprocess.train)
  height, width = int(crop[1]), int(crop[2] or crop[1])
  config.model_name = 'cpnet'
  config.model = dict(
      sides=(height, width),
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50_v1c'),
          output_stride=8,
      ),
      features=512,
      kernel=11,
      align_corners=False,
      dropout=0.1,
      aux_level='c4',
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  config.system_loss.affinity_weight = 1.0
  config.predict.mode = 'slide'
  config.predict.window = (height, width)
  config.predict.stride = (height * 2 // 3, width * 2 // 3)
  if arg.small:
    config.model.update(features=32)
  if recipe:
    config.optim.weight_decay = 1e-4
    config.lr.base = recipe['lr']
    config.lr.schedule = 'poly(power=0.9)'
  return config
