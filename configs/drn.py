r"""DRN, dilated residual networks, https://arxiv.org/abs/1705.09914.

The authors' code reports on Cityscapes val, at one scale, 68.0 mIoU with
DRN-D-22, 71.4 with DRN-D-38 and 75.6 with DRN-D-105. Ours: 84.6 on val of
`shapes`, a tiny DRN from random weights, 700 steps in 2.5 CPU minutes, by the
first command.

  bash launch/local.sh --config=configs/drn.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/drn.py:dataset=cityscapes,backbone=drn/d_105 \
      --config.init_from=IMAGENET

IMAGENET is a workdir that `segjax.convert --source=drn --backbone=drn/d_105`
makes. On Cityscapes it is the authors' recipe, of 250 epochs or, for DRN-D-105,
of 500.
"""

from configs import common

# The mean and standard deviation of Cityscapes.
NORMALIZE = 'normalize((73.95, 83.64, 73.19), (46.67, 47.69, 46.92))'
RECIPES = {
    'drn/d_22': dict(
        train=f'random_crop(896, cat_max_ratio=1.0)|flip|{NORMALIZE}',
        steps=23_000,
        batch=32,
        schedule='multistep(at=(0.4, 0.8))',
    ),
    'drn/d_105': dict(
        train='rotate(1.0, 10.0)|random_scale(0.5, 2.0)'
        f'|random_crop(840, cat_max_ratio=1.0)|flip|{NORMALIZE}',
        steps=93_000,
        batch=16,
        schedule='poly(power=0.9)',
    ),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  backbone = arg.backbone or ('drn/tiny' if arg.small else 'drn/d_22')
  changes = {}
  if arg.dataset == 'cityscapes' and not arg.small:
    changes = dict(RECIPES.get(backbone, RECIPES['drn/d_22']), eval=NORMALIZE)
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'drn'
  config.model = dict(
      backbone=backbone,
      upsampling='transposed',
  )
  # Upsampling stays bilinear.
  config.optim.factors = (('^upsample/', 0.0),)
  if not arg.small:
    config.optim.weight_decay = 1e-4
    config.lr.schedule = changes.get('schedule', config.lr.schedule)
  return config
