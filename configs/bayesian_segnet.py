r"""Bayesian SegNet, https://arxiv.org/abs/1511.02680.

Benchmark listings quote 63.1 mIoU on CamVid test as the paper's result.

  bash launch/local.sh --config=configs/bayesian_segnet.py
  python -m segjax.main --workdir=runs/camvid \
      --config=configs/bayesian_segnet.py:camvid \
      --config.init_from=torchvision:vgg16_bn-6c64b313 \
      --config.dataset.eval_split=test
  python -m segjax.predict --workdir=runs/camvid photos/ --output=predictions/

Ours: 37.1 mIoU on val of `shapes`, a narrow network from random weights, 700
steps in 3 CPU minutes. SegNet, which is the same without dropout, has 80.7.

Predictions include NAME_uncertainty.png, which is brighter where samples differ
more.
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'bayesian_segnet'
  config.model = dict(depths=(2, 2, 3, 3, 3), width=64, dropout=0.5, samples=50)
  if arg.small:
    config.model.update(depths=(1, 1, 1, 1, 1), width=16, samples=8)
  elif arg.dataset == 'camvid':
    common.camvid_of_segnet(config, steps=60_000, batch=4, lr=1e-3)
  return config
