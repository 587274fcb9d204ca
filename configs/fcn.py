r"""FCN, https://arxiv.org/abs/1411.4038, in stages.

  bash launch/local.sh --config=configs/fcn.py
  python -m segjax.main --workdir=runs/fcn32s \
      --config=configs/fcn.py:dataset=voc2012,stage=32s --config.init_from=VGG
  python -m segjax.main --workdir=runs/fcn16s \
      --config=configs/fcn.py:dataset=voc2012,stage=16s \
      --config.init_from=runs/fcn32s

and from there 8s, or stage=at_once from VGG. That is what `segjax.convert
--backbone=vgg/16` makes of a classifier; the rates are for one that has seen
BGR from 0 to 255, minus the mean.

The authors' release, https://github.com/shelhamer/fcn.berkeleyvision.org, has
67.2 mIoU on the test set of VOC 2012 (FCN-8s), and on 736 images of its
validation set 63.6, 65.0 and 65.5 (32s, 16s and 8s; 65.4 at once).
"""

from configs import common

# Of the summed loss of one image.
STAGES = {
    '32s': dict(stride=32, lr=1e-10, steps=100_000),
    '16s': dict(stride=16, lr=1e-12, steps=100_000),
    '8s': dict(stride=8, lr=1e-14, steps=100_000),
    'at_once': dict(stride=8, lr=1e-10, steps=300_000),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`. `stage` is of `STAGES`."""
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
  )
  bilinear = '/upsample'  # And so they stay.
  if arg.small:
    config.optim.factors = ((bilinear, 0.0),)
  elif arg.dataset == 'voc2012':
    config.loss = "cross_entropy(divide_by='nothing')"
    config.optim.optimizer = 'sgd(momentum=0.99)'
    common.caffe_sgd(config, stage['lr'], 'constant', frozen=bilinear)
  else:  # The rate of the conference paper, which takes the mean.
    common.caffe_sgd(config, 1e6 * stage['lr'], 'constant', frozen=bilinear)
  return config
