r"""FCN, https://arxiv.org/abs/1411.4038, in stages.

  bash launch/local.sh --config=configs/fcn.py
  python -m segjax.main --workdir=runs/fcn32s \
      --config=configs/fcn.py:dataset=voc2012,stage=32s --config.init_from=VGG
  python -m segjax.main --workdir=runs/fcn16s \
      --config=configs/fcn.py:dataset=voc2012,stage=16s \
      --config.init_from=runs/fcn32s

Stage 8s continues from 16s in the same way; stage=at_once trains FCN-8s from
VGG directly. VGG is a workdir that `segjax.convert --backbone=vgg/16` makes
from a classifier; the learning rates are for one that was trained on BGR from 0
to 255, minus the mean.

The authors' release, https://github.com/shelhamer/fcn.berkeleyvision.org, has
67.2 mIoU on the test set of VOC 2012 (FCN-8s). On 736 images of the validation
set it has 63.6 (32s), 65.0 (16s), 65.5 (8s) and 65.4 (8s at once).

Ours: 49.7 mIoU on val of `shapes`, a narrow VGG without norms from random
weights, 700 steps in 2 CPU minutes; the paper's begins with one of ImageNet.
"""

from configs import common

# Learning rates are for a loss that is summed over the pixels of one image.
STAGES = {
    '32s': dict(stride=32, lr=1e-10, steps=100_000),
    '16s': dict(stride=16, lr=1e-12, steps=100_000),
    '8s': dict(stride=8, lr=1e-14, steps=100_000),
    'at_once': dict(stride=8, lr=1e-10, steps=300_000),
}


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', stage='8s', backbone='', small=False
  )
  stage = common.choose('stage', arg.stage, STAGES)
  changes = {}
  if arg.small:
    changes = dict(lr=1e-3, batch=8)
  elif arg.dataset == 'voc2012':
    changes = dict(
        train=f'{common.BGR}|pad(500)',  # Whole images.
        eval=common.BGR,
        steps=stage['steps'],
        batch=1,
    )
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'fcn'
  config.model = dict(
      backbone=arg.backbone or ('vgg/tiny' if arg.small else 'vgg/16'),
      stride=stage['stride'],
      scales=(0.01, 1e-4) if arg.stage == 'at_once' else (1.0, 1.0),
      dropout=0.1 if arg.small else 0.5,
      upsampling='transposed',
  )
  bilinear = '/upsample'  # Upsampling stays bilinear.
  if arg.small:
    config.optim.factors = ((bilinear, 0.0),)
  elif arg.dataset == 'voc2012':
    config.loss = "cross_entropy(divide_by='nothing')"
    config.optim.optimizer = 'sgd(momentum=0.99)'
    common.caffe_sgd(config, stage['lr'], 'constant', frozen=bilinear)
  else:  # The learning rate of the conference paper, for a mean loss.
    common.caffe_sgd(config, 1e6 * stage['lr'], 'constant', frozen=bilinear)
  return config
