r"""ENet, https://arxiv.org/abs/1606.02147.

Paper: 51.3 mIoU on CamVid test, as ESPNet's authors quote it. Ours: 60.2 on val
of `shapes`, which is drawn, after 700 steps from random weights, in 2.0 CPU
minutes, by the first command; 40.9 after 350.

  bash launch/local.sh --config=configs/enet.py
  python -m segjax.main --workdir=runs/camvid \
      --config=configs/enet.py:dataset=camvid

On CamVid it is the recipe of davidtvs/PyTorch-ENet, which reports 51.1 to 53.1
mIoU on test: whole images without augmentation, 300 epochs of the train split,
and class weights 1 / ln(1.02 + share of the class).
"""

from configs import common

CAMVID = dict(
    train='random_crop(360, 480)|normalize',
    class_weights='inverse_log(offset=1.02)',
    steps=11_000,
    batch=10,
)


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  recipe = CAMVID if arg.dataset == 'camvid' and not arg.small else {}
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'enet'
  config.model = dict(
      widths=(16, 64, 128),
      depth=4,
      dilations=(1, 2, 0, 4, 1, 8, 0, 16),
      stages=2,
      dropouts=(0.01, 0.1),
      upsampling='transposed',
  )
  if arg.small:
    # Images of 96 x 128 have no room for the two largest rates.
    config.model.update(
        widths=(16, 32, 64), depth=2, dilations=(1, 2, 0, 4), stages=1
    )
  if recipe:
    config.optim.optimizer = 'adam'
    config.optim.weight_decay = 2e-4
    config.lr.base = 5e-4
    config.lr.schedule = 'multistep(at=(0.33333, 0.66667))'
  return config
