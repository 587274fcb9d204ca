r"""ERFNet, https://ieeexplore.ieee.org/document/8063438.

Paper: 68.0 mIoU on Cityscapes test from random weights, 69.7 with an encoder
trained on ImageNet. mmsegmentation, whose network and recipe Cityscapes has,
reports 72.5 on val (160k steps).

  bash launch/local.sh --config=configs/erfnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/erfnet.py:dataset=cityscapes

The authors train on images of 512 x 1024 with Adam, 5e-4, batches of 6 and
class weights 1 / ln(1.10 + share of the class), first the encoder and then the
decoder, 150 epochs each.
"""

from configs import common

CITYSCAPES = dict(steps=160_000, batch=16)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  recipe = CITYSCAPES if arg.dataset == 'cityscapes' and not arg.small else {}
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'erfnet'
  config.model = dict(
      widths=(16, 64, 128),
      depth=5,
      dilations=(2, 4, 8, 16, 2, 4, 8, 16),
      dropouts=(0.1, 0.1),
      drop_channels=False,
      head_features=128,
      dropout=0.1,
      upsampling='transposed',
  )
  if arg.small:
    config.model.update(
        widths=(8, 24, 48),
        depth=2,
        dilations=(2, 4, 2, 4),
        head_features=16,
    )
  return config
