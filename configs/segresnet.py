r"""SegResNet, a SegNet on a ResNet: https://arxiv.org/abs/1511.00561.

yassouali/pytorch-segmentation, which it is from, publishes no scores of it.
Ours: 34.2 mIoU on val of `shapes`, which is drawn, after 700 steps from random
weights, in 1.9 CPU minutes, by the first command; 22.4 after 350. The decoder
has no features of the encoder, only the positions of one pool, and all else
passes a grid of 3 x 4 pixels; a longer run was not tried.

  bash launch/local.sh --config=configs/segresnet.py
  python -m segjax.main --workdir=runs/voc \
      --config=configs/segresnet.py:dataset=voc2012

On VOC 2012 it is that repository's recipe, without its rotations: 80 epochs
with batches of 8, and a tenth of the learning rate for the backbone.
"""

from configs import common

VOC = dict(
    train='random_scale(0.5, 2.0)|random_crop(380)|flip|normalize',
    steps=105_000,
    batch=8,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = VOC if arg.dataset == 'voc2012' and not arg.small else {}
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'segresnet'
  config.model = dict(
      backbone=arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50'),
      depths=(2, 2, 2, 2) if arg.small else (3, 4, 6, 3),
      upsampling='transposed',
  )
  if recipe:
    config.optim.weight_decay = 1e-4
    config.optim.factors = (('^backbone/', 0.1),)
    config.lr.schedule = 'poly(power=0.9)'
  return config
