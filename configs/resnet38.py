r"""ResNet-38 for segmentation, https://arxiv.org/abs/1611.10080, in two runs.

The paper reports 78.08 mIoU on Cityscapes val, 80.84 on VOC 2012 val and 43.34
on ADE20K val (Model A1). Ours: 83.7 on val of `shapes`, a tiny ResNet-38 from
random weights, 700 steps in 1.7 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/resnet38.py
  python -m segjax.main --workdir=runs/first \
      --config=configs/resnet38.py:dataset=cityscapes,stage=first \
      --config.init_from=IMAGENET
  python -m segjax.main --workdir=runs/second \
      --config=configs/resnet38.py:dataset=cityscapes,stage=second \
      --config.init_from=runs/first

IMAGENET is a workdir that `segjax.convert --source=resnet38
--backbone=resnet38/a1` makes. On Cityscapes it is the authors' recipe: 140
epochs at one learning rate, then 64 epochs in which another falls to 0. They
choose hard pixels at stride 8, at least 256 of an image; here they are chosen
in the whole crop.
"""

from configs import common

STAGES = {
    'first': dict(steps=26_000, lr=1.6e-3, schedule='constant'),
    'second': dict(steps=11_900, lr=8e-4, schedule='poly(power=1.0)'),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', stage='first', backbone='', small=False
  )
  stage = common.choose('stage', arg.stage, STAGES)
  paper = arg.dataset == 'cityscapes' and not arg.small
  changes = {}
  if paper:
    crop = 'random_scale(0.7, 1.3)|random_crop(500, cat_max_ratio=1.0)'
    changes = dict(
        train=f'{crop}|flip|normalize', steps=stage['steps'], batch=16
    )
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'resnet38'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet38/tiny' if arg.small else 'resnet38/a1'),
          output_stride=8,
          **({} if arg.small else dict(dropout=(0.3, 0.5))),
      ),
      features=32 if arg.small else 512,
      dilation=4 if arg.small else 12,  # 12 would read only padding.
  )
  if paper:
    config.loss = 'ohem_cross_entropy(threshold=0.6, min_kept=16384)'
    config.lr.base = stage['lr']
    config.lr.schedule = stage['schedule']
  return config
