r"""CRF-RNN, https://arxiv.org/abs/1502.03240.

Benchmark listings quote 74.7 mIoU on the test set of VOC 2012 as the paper's
result.

  bash launch/local.sh --config=configs/crf_rnn.py
  python -m segjax.main --workdir=runs/crf_rnn \
      --config=configs/crf_rnn.py:voc2012 --config.init_from=runs/fcn8s

FCN-8s is trained first (configs/fcn.py). The learning rate is for a loss that
is summed over the pixels of one image, and for images in BGR from 0 to 255,
minus the mean. The number of steps is our own. The widths of the CRF are for
images of VOC; those of `shapes` are smaller.

Ours: 57.8 mIoU on val of `shapes`, a narrow VGG without norms from random
weights, 700 steps.
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
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
      # The std of normalize: `common.BGR` divides by 1.0.
      image_std=(1.0, 1.0, 1.0),
      upsampling='transposed',
  )
  config.optim.factors = (('/upsample', 0.0),)  # Upsampling stays bilinear.
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
