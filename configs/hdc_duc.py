r"""HDC and DUC, https://arxiv.org/abs/1702.08502.

Paper: 80.1 mIoU on Cityscapes test, ResNet-101, several scales, and 79.1 with
one; 83.1 on VOC 2012 test, ResNet-152, one scale. Ours: 78.0 mIoU on val of
`shapes`, a tiny ResNet from random weights, 700 steps in 1.5 CPU minutes, by
the first command.

  bash launch/local.sh --config=configs/hdc_duc.py
  python -m segjax.convert --source=tusimple --output=runs/duc \
      --config=configs/hdc_duc.py:dataset=cityscapes --checkpoint=duc.npz
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/hdc_duc.py:dataset=cityscapes \
      --config.init_from=runs/duc

On Cityscapes it is the recipe by which the authors' code goes on with weights
that know Cityscapes already: a batch is one image, and norms are frozen.
"""

from configs import common

MEAN = 'normalize((122.675, 116.669, 104.008), 1.0)'
EPOCH = 2975  # Steps with a batch of one image.
CITYSCAPES = dict(
    train='random_scale(0.5, 1.5, step=0.25)'
    f'|random_crop(800, cat_max_ratio=1.0)|flip|{MEAN}',
    eval=MEAN,
    steps=50 * EPOCH,
    batch=1,
)
# Of the blocks of the last two stages, as the authors' code has them.
DILATIONS = (2, *(2, 5, 9, 1) * 5, 2, 5), (5, 9, 17)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  paper = arg.dataset == 'cityscapes' and not arg.small
  config = common.base(
      arg.dataset, small=arg.small, **(CITYSCAPES if paper else {})
  )
  config.model_name = 'hdc_duc'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/101_duc'),
          output_stride=8,
          dilations=(1, 1, *(((2, 5), (5, 9)) if arg.small else DILATIONS)),
      ),
      rates=(6, 12, 18, 24),
      cell_width=2,
      norm_scores=False,
      decoder=False,
      features=256,
      dropout=(0.5, 0.1),
  )
  if arg.small:  # In small feature maps, larger rates would read only padding.
    config.model.update(rates=(1, 2), cell_width=4)
  if paper:
    config.optim.factors = (('/norm/', 0.0),)
    config.optim.weight_decay = 5e-5
    config.lr.base = 1e-4
    config.lr.schedule = f'exponential(factor=0.5, every={5 * EPOCH})'
  return config
