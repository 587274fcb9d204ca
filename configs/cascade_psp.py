r"""CascadePSP, https://arxiv.org/abs/2005.02551.

Numbers of the paper are not at hand.

  bash launch/local.sh --config=configs/cascade_psp.py
  python -m segjax.main --workdir=runs/cascade_psp \
      --config=configs/cascade_psp.py:dataset=folder \
      --config.init_from=torchvision:resnet50-0676ba61
  python -m segjax.main --mode=eval --workdir=runs/voc \
      --config.predict.refine="cascade_psp(workdir='runs/cascade_psp')"

The last command refines what another system predicts. The folder has images and
binary masks, as those of MSRA-10K, DUTS, ECSSD and FSS-1000 that the authors
trained on; the recipe is theirs. On data sets with labels of many classes, a
class of each crop is the mask. The loss is the system's own, and `config.loss`
is not used.
"""

from configs import common

# Torchvision's changes of colours, that `photometric` is close to.
AUTHORS = dict(
    train='random_crop(224, cat_max_ratio=1.0)|flip'
    '|perturbed_masks(classes=(1,))'
    '|photometric(51.0, (0.95, 1.05), (0.95, 1.05), 1)|normalize',
    eval='fixed_masks(classes=(1,))|normalize',
    steps=45_000,
    batch=12,
)
SHAPES = dict(
    train='random_scale(1.0, 2.0)|random_crop(96, 128, cat_max_ratio=1.0)|flip'
    '|perturbed_masks|normalize',
    eval='fixed_masks|normalize',
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  authors = arg.dataset == 'folder' and not arg.small
  recipe = AUTHORS if authors else {}
  if arg.dataset == 'shapes':
    recipe = SHAPES
  config = common.base(
      arg.dataset, small=arg.small, **{'class_weights': '', **recipe}
  )
  if not recipe:
    _add_masks(config.preprocess)
  config.task = 'refinement'
  config.model_name = 'cascade_psp'
  backbone = arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50')
  options = {}
  if backbone == 'resnet/50':  # First blocks do not dilate.
    options['dilations'] = (1, 1, (1, 2, 2, 2, 2, 2), (1, 4, 4))
  config.model = dict(
      backbone=common.backbone(backbone, output_stride=8, **options),
      features=64 if arg.small else 1024,
      up_features=(32, 16, 8) if arg.small else (512, 256, 32),
      head_features=8 if arg.small else 32,
  )
  config.system_loss = dict(gradient_weight=5.0)
  if authors:
    config.optim.optimizer = 'adam'
    config.optim.weight_decay = 1e-4
    config.lr.base = 2.25e-4
    config.lr.schedule = 'multistep(at=(0.5, 0.83333))'
  return config


def _add_masks(preprocess):
  """Adds the ops that make masks, behind what moves pixels.

  Masks are refined at the size of the image, so evaluation does not resize.
  """
  ops = preprocess.train.split('|')
  colors = ('photometric', 'blur', 'normalize')
  place = next(i for i, op in enumerate(ops) if op.startswith(colors))
  preprocess.train = '|'.join([*ops[:place], 'perturbed_masks', *ops[place:]])
  kept = [op for op in preprocess.eval.split('|') if op.startswith('normalize')]
  preprocess.eval = '|'.join(['fixed_masks', *kept])
