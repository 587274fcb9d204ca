r"""Small networks for phenotyping, https://doi.org/10.1007/s00138-019-01051-7.

The abstract reports weight matrices that are smaller by up to 95 percent at the
same pixel accuracy. With 13 classes the three networks have 889,962 parameters
(FCN), 2,024,397 (SegNet) and 875,856 (sub-pixel). Ours: 85.2 mIoU on val of
`shapes`, the small FCN at a quarter of its width from random weights, 700 steps
in 2.2 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/atanbori.py
  python -m segjax.main --workdir=runs/camvid \
      --config=configs/atanbori.py:dataset=camvid,decoder=segnet
  python -m segjax.tools.truncate --workdir=runs/camvid --ratio=0.5 \
      --output=runs/camvid_half --skip='^encode1_1/'

The second command has the authors' settings: Adam, images over 255, batches of
6, a learning rate that falls when the score stays. They train 200 epochs, which
are 12,200 steps of CamVid, and name the size of images for each data set; crops
of CamVid have the size that is usual for it here.
"""

from configs import common

RECIPES = {
    'camvid': dict(
        train='random_crop(360, 480)|flip|normalize(0.0, 255.0)',
        eval='normalize(0.0, 255.0)',
        class_weights='median_frequency',
        steps=12_200,
        batch=6,
    ),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', decoder='fcn', small=False)
  recipe = {} if arg.small else RECIPES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'atanbori'
  config.model = dict(
      decoder=arg.decoder,
      separable=True,
      width=16 if arg.small else 64,
  )
  if recipe:
    config.optim.optimizer = 'adam'
    config.optim.weight_decay = 0.0
    config.lr.base = 1e-3
    # There is an evaluation after each epoch.
    config.lr.schedule = 'plateau(factor=0.1, patience=10)'
    config.eval_every = config.total_steps // 200
  return config
