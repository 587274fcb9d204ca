r"""SegNet-Basic, https://arxiv.org/abs/1511.00561.

ChainerCV quotes 46.3 mIoU on CamVid test as the paper's result; its own network
has 49.4.

  bash launch/local.sh --config=configs/segnet_basic.py
  python -m segjax.main --workdir=runs/camvid \
      --config=configs/segnet_basic.py:camvid --config.dataset.eval_split=test

Trained from random weights on one core of an AMD EPYC, shared with other work,

  python -m segjax.main --workdir=runs/camvid \
      --config=configs/segnet_basic.py:dataset=camvid,small=True

has 40.3 mIoU on CamVid val after 38 minutes of CPU time.
"""

from configs import common

# Images have half the size because a 7x7 convolution costs as much as five 3x3.
SMALL = {
    'camvid': dict(
        train='random_scale(0.4, 0.65)|random_crop(120, 160)|flip|normalize',
        eval='resize(180, 240)|normalize',
        steps=2000,
    ),
}


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  changes = SMALL.get(arg.dataset, {}) if arg.small else {}
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'segnet_basic'
  config.model = dict(stages=4, features=64, kernel=7)
  if arg.small:
    config.model.update(features=16 if arg.dataset == 'shapes' else 32)
  elif arg.dataset == 'camvid':
    common.camvid_of_segnet(config, steps=16_000, batch=12, lr=0.1)
  return config
