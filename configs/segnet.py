r"""SegNet, https://arxiv.org/abs/1511.00561.

Later papers quote 55.6 mIoU on CamVid test as the paper's result.

  bash launch/local.sh --config=configs/segnet.py
  python -m segjax.main --workdir=runs/camvid \
      --config=configs/segnet.py:camvid --config.dataset.eval_split=test \
      --config.init_from=torchvision:vgg16_bn-6c64b313
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'segnet'
  config.model = dict(depths=(2, 2, 3, 3, 3), width=64)
  if arg.small:
    config.model.update(depths=(1, 1, 1, 1, 1), width=16)
  elif arg.dataset == 'camvid':
    common.camvid_of_segnet(config, steps=40_000, batch=4, lr=1e-3)
  return config
