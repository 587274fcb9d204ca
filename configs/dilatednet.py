r"""DilatedNet, https://arxiv.org/abs/1511.07122, in stages.

  bash launch/local.sh --config=configs/dilatednet.py
  python -m segjax.main --workdir=runs/front_end \
      --config=configs/dilatednet.py:dataset=voc2012,stage=front_end \
      --config.init_from=VGG
  python -m segjax.main --workdir=runs/context \
      --config=configs/dilatednet.py:dataset=voc2012,stage=context \
      --config.init_from=runs/front_end
  python -m segjax.main --workdir=runs/joint \
      --config=configs/dilatednet.py:dataset=voc2012,stage=joint \
      --config.init_from=runs/context

VGG is a workdir that `segjax.convert --backbone=vgg/16` makes from a classifier
that was trained on BGR from 0 to 255, minus the mean. Benchmark listings quote
75.3 mIoU on the test set of VOC 2012 and 67.1 on that of Cityscapes as the
paper's results.
"""

import re

from configs import common

STAGES = {
    'front_end': dict(context='', crop=128, batch=14, lr=1e-3, steps=60_000),
    'context': dict(context='large', crop=528, batch=60, lr=1e-3, steps=24_000),
    'joint': dict(context='large', crop=128, batch=14, lr=1e-5, steps=60_000),
}
HALO = 201  # Pixels that the model loses on each side.


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', stage='joint', backbone='', small=False
  )
  stage = common.choose('stage', arg.stage, STAGES)
  changes = {}
  if arg.small:
    changes = dict(lr=1e-3, batch=8)
  elif arg.dataset == 'voc2012':
    bgr = 'normalize((116.52, 111.36, 102.93), 1.0)|bgr'
    changes = dict(
        train=f'random_crop({stage["crop"]}, cat_max_ratio=1.0)|flip|{bgr}',
        eval=bgr,
        steps=stage['steps'],
        batch=stage['batch'],
    )
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.preprocess.train = re.sub(
      r'(_crop\([^)]*)', rf'\1, halo={HALO}', config.preprocess.train
  )
  config.model_name = 'dilatednet'
  config.model = dict(
      backbone=arg.backbone or ('vgg/tiny' if arg.small else 'vgg/16'),
      context=stage['context'],
      rates=(1, 1, 2, 4, 8, 16),
      learned_upsampling=False,
      dropout=0.1 if arg.small else 0.5,
      upsampling='transposed',
  )
  if not arg.small:
    trained = 'backbone|classifier|' if arg.stage == 'context' else ''
    common.caffe_sgd(
        config, stage['lr'], 'constant', frozen=f'^({trained}upsample)/'
    )
  return config
