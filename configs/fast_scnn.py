r"""Fast-SCNN, https://arxiv.org/abs/1902.04502.

Paper: 68.6 mIoU on Cityscapes val, 68.0 on test, with 1.11 million parameters.
mmsegmentation, whose network and recipe Cityscapes has, reports 70.96 on val.
Ours: 87.5 on val of `shapes`, from random weights, 700 steps in 2 CPU minutes,
by the first command.

  bash launch/local.sh --config=configs/fast_scnn.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/fast_scnn.py:dataset=cityscapes

The paper trains 1000 epochs with batches of 12 and a learning rate of 0.045,
and has no weight decay on depthwise convolutions:
`--config.optim.decay_on='^(?!.*depthwise/conv)'`.
"""

from configs import common

CITYSCAPES = dict(steps=160_000, batch=32)


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  recipe = CITYSCAPES if arg.dataset == 'cityscapes' and not arg.small else {}
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'fast_scnn'
  config.model = dict(
      stem=(32, 48, 64),
      widths=(64, 96, 128),
      features=128,
      fusion_dilation=1,
      dropout=0.1,
      aux_features=32,
  )
  if recipe:
    # One class against all others, the mean over pixels and classes.
    config.loss = 'binary_cross_entropy'
    config.optim.weight_decay = 4e-5
    config.lr.base = 0.12
  return config
