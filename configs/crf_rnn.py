r"""CRF-RNN, https://arxiv.org/abs/1502.03240.

Paper: 72.0 mIoU on the test set of VOC 2012, and 74.7 trained on COCO first.

  bash launch/local.sh --config=configs/crf_rnn.py
  python -m segjax.main --workdir=runs/crf_rnn \
      --config=configs/crf_rnn.py:voc2012 --config.init_from=runs/fcn8s

FCN-8s is trained first (configs/fcn.py). The rate is for the summed loss of one
image, and for a network that sees BGR from 0 to 255, minus the mean; the number
of steps is ours. Widths of the CRF are for images of VOC: those of the shapes
are smaller.
"""

from configs import common


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  changes = {}
  if arg.small:
    changes = dict(lr=1e-3, batch=4, predict_batch=1)
  elif arg.dataset == 'voc2012':
    changes = dict(
        train=f'{common.BGR}|pad(500)',  # Whole images.
        eval=common.BGR,
        batch=1,
    )
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'crf_rnn'
  config.model = dict(
      backbone=arg.backbone or ('vgg/tiny' if arg.small else 'vgg/16'),
      dropout=0.5,
      train_iterations=5,
      iterations=10,
      widths=(160.0, 3.0, 3.0),
      # That of normalize, or 1.0 where it has none.
      image_std=(1.0, 1.0, 1.0),
  )
  config.optim.factors = (('/upsample', 0.0),)  # They stay bilinear.
  if arg.dataset != 'voc2012':
    config.model.image_std = common.IMAGENET_STD
  if arg.small:
    config.model.update(
        train_iterations=2, iterations=5, widths=(20.0, 13.0, 3.0)
    )
  else:
    config.loss = "cross_entropy(divide_by='nothing')"
    config.optim.optimizer = 'sgd(momentum=0.99)'
    config.optim.decay_on = 'kernel$'
    config.optim.factors += (('bias$', 2.0),)
    config.lr.base = 1e-13
    config.lr.schedule = 'constant'
  return config
