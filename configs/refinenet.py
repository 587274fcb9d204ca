r"""RefineNet, https://arxiv.org/abs/1611.06612.

Paper: 83.4 mIoU on VOC 2012 test (ResNet-152, also trained on COCO, several
scales), 73.6 on Cityscapes test (ResNet-101). DrSleep's port of the authors'
weights has 80.5 on VOC 2012 val (ResNet-101, one scale). Ours: 87.5 mIoU on val
of `shapes`, which is drawn, after 700 steps from random weights, in 3.1 CPU
minutes, by the first command.

  bash launch/local.sh --config=configs/refinenet.py
  python -m segjax.main --workdir=runs/voc \
      --config=configs/refinenet.py:dataset=voc2012

On VOC 2012 and Cityscapes crops, scales, batch and learning rates are those of
the authors' code, which lowers the rate by hand when the score no longer rises;
here it is lowered after three quarters of the steps, whose number is that of
other systems' recipes in images.
"""

from configs import common

# One image a step: norms keep the statistics that the backbone comes with.
TRAIN = 'random_scale(0.7, 1.3)|class_balanced_crop({})|flip|normalize'
RECIPES = {
    'voc2012': dict(train=TRAIN.format(400), steps=640_000, batch=1),
    'cityscapes': dict(train=TRAIN.format(600), steps=640_000, batch=1),
}
NORMS = '^backbone/.*norm/'


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = {} if arg.small else RECIPES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'refinenet'
  config.model = dict(
      backbone=arg.backbone or f'resnet/{"tiny" if arg.small else 101}',
      features=256,
      top_features=512,
      dropout=0.5,
  )
  if arg.small:
    config.model.update(features=32, top_features=64, dropout=0.1)
    config.lr.base = 2e-3
  if recipe:
    config.optim.factors = ((NORMS, 0.0), ('^backbone/', 0.1))
    config.lr.base = 5e-4
    config.lr.schedule = 'multistep(at=(0.75,))'
  return config
