r"""AdapNet, https://doi.org/10.1109/ICRA.2017.7989540.

Numbers of the paper are not at hand. The network is that of
https://github.com/GeorgeSeif/Semantic-Segmentation-Suite, which publishes no
scores of it. Ours: 85.6 mIoU on val of `shapes`, a narrow network from random
weights, 700 steps in 3.3 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/adapnet.py
  python -m segjax.main --workdir=runs/camvid \
      --config=configs/adapnet.py:dataset=camvid

On CamVid it is the Suite's recipe for all its networks: RMSprop, one image a
step, its values divided by 255, and 300 epochs. The Suite has CamVid with 32
classes and crops of 512 x 512 of images of 720 x 960; this copy of CamVid has
11 and is half as large, and so are the crops.
"""

from configs import common


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  recipe = (
      common.SUITE_CAMVID if arg.dataset == 'camvid' and not arg.small else {}
  )
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'adapnet'
  config.model = dict(width=64, reduced=12, batch_at_test=False)
  if arg.small:
    config.model.update(width=16)
  if recipe:
    common.rmsprop_of_suite(config)
  return config
