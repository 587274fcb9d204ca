r"""SegFix, https://arxiv.org/abs/2007.04269.

Its authors: HRNet-W48 from 81.1 to 81.6 mIoU on Cityscapes val, with OCR from
84.2 to 84.5 on test.

  bash launch/local.sh --config=configs/segfix.py
  python -m segjax.main --workdir=runs/segfix \
      --config=configs/segfix.py:dataset=cityscapes \
      --config.init_from=IMAGENET
  python -m segjax.main --mode=eval --workdir=runs/cityscapes \
      --config.predict.refine="segfix(workdir='runs/segfix')"

The last command refines what another system predicts. IMAGENET is a workdir
that `segjax.convert --source=hrnet --backbone=hrnet/w48` makes. On Cityscapes
it is the recipe of the authors' code, which crops without resizing;
`random_scale(0.5, 2.0)` would come before `directions`.
"""

from configs import common

CITYSCAPES = dict(
    train='directions|random_crop(512, cat_max_ratio=1.0)|flip'
    '|photometric(10.0, (1.0, 1.0), (1.0, 1.0), 1)|normalize',
    steps=80_000,
    batch=16,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  authors = arg.dataset == 'cityscapes' and not arg.small
  recipe = CITYSCAPES if authors else {}
  config = common.base(
      arg.dataset, small=arg.small, **{'class_weights': '', **recipe}
  )
  config.task = 'boundaries'
  if not authors:  # Before the crop, behind what resizes.
    ops = config.preprocess.train.split('|')
    first = next(i for i, op in enumerate(ops) if op.startswith('random_crop'))
    config.preprocess.train = '|'.join(
        [*ops[:first], 'directions', *ops[first:]]
    )
  config.predict.flip = False  # An image is predicted as a whole.
  config.model_name = 'segfix'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('hrnet/tiny' if arg.small else 'hrnet/w48'),
          align_corners=True,
      ),
      features=32 if arg.small else 256,
      activated=False,
  )
  config.loss = 'batch_weighted_cross_entropy'
  if authors:
    config.lr.base = 0.04
    config.lr.schedule = 'poly(power=0.9)'
  return config
