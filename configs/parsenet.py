r"""ParseNet, https://arxiv.org/abs/1506.04579.

  bash launch/local.sh --config=configs/parsenet.py
  python -m segjax.main --workdir=runs/voc \
      --config=configs/parsenet.py:dataset=voc2012 --config.init_from=VGG

VGG is a workdir that `segjax.convert --backbone=vgg/16` makes from a classifier
that was trained on BGR from 0 to 255, minus the mean. Benchmark listings quote
69.8 mIoU on the test set of VOC 2012 and 40.4 on Pascal Context as the paper's
results.

Ours: 48.4 mIoU on val of `shapes`, a narrow VGG without norms from random
weights, 700 steps; the paper's begins with one of ImageNet.
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  changes = {}
  if arg.small:
    changes = dict(lr=1e-3, batch=8)
  elif arg.dataset == 'voc2012':
    changes = dict(common.BGR_CROPS, steps=20_000, batch=8)
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'parsenet'
  config.model = dict(
      backbone=arg.backbone or ('vgg/tiny' if arg.small else 'vgg/16'),
      hidden=64 if arg.small else 1024,
      local_norm=True,
      dropout=0.1 if arg.small else 0.5,
  )
  if not arg.small:
    common.caffe_sgd(config, 1e-3, 'poly(power=0.9)', new='^classifier/')
  return config
