r"""LinkNet, https://arxiv.org/abs/1707.03718.

Its authors report 76.44 mIoU on Cityscapes, and 69.10 on CamVid
(e-lab/pytorch-linknet). On these the recipe is that code's: whole images (of
CamVid larger ones, 576 x 768) that are not mirrored, 300 epochs in batches of
8, Adam with a constant learning rate, and class weights 1 / ln(1.02 + share),
where it divides shares by the largest one.

Ours: 59.2 mIoU on val of `shapes`, which is drawn, after 700 steps from random
weights, in 1.9 CPU minutes, by the first command; it still rises, from 54.9
after 350. With `:backbone=resnet/tiny`, whose stages narrow to 4 channels, it
is 56.5.

  bash launch/local.sh --config=configs/linknet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/linknet.py:dataset=cityscapes
"""

from configs import common

# Stages narrow to a quarter of the channels: 4 would be left of 16.
SMALL = 'resnet/tiny(width=32)'
RECIPES = {
    'cityscapes': dict(
        train='resize(512, 1024)|normalize',
        eval='resize(512, 1024)|normalize',
        class_weights='inverse_log(offset=1.02)',
        steps=111_600,
        batch=8,
    ),
    'camvid': dict(
        train='random_crop(360, 480)|normalize',
        class_weights='inverse_log(offset=1.02)',
        steps=13_800,
        batch=8,
    ),
}


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = {} if arg.small else RECIPES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'linknet'
  config.model = dict(
      backbone=arg.backbone or (SMALL if arg.small else 'resnet/18'),
      variant='paper',
      upsampling='transposed',
  )
  if recipe:
    config.optim.optimizer = 'adam'
    config.optim.weight_decay = 0.0
    config.lr.base = 5e-4
    config.lr.schedule = 'constant'
  return config
