r"""GCN, "Large Kernel Matters", https://arxiv.org/abs/1703.02719.

Paper: 82.2 mIoU on VOC 2012 test and 76.9 on Cityscapes test (ResNet-152, also
trained on COCO and on coarse labels). Ours: 55.1 mIoU on val of `shapes`, which
is drawn, after 700 steps from random weights, in 2.8 CPU minutes, by the first
command. It still rises, from 50.7 after 350 steps: all that the decoder has are
maps of as many channels as there are classes, and without norms the first
scores are far off, with a loss of 11.

  bash launch/local.sh --config=configs/gcn.py
  python -m segjax.main --workdir=runs/voc \
      --config=configs/gcn.py:dataset=voc2012

On VOC 2012 and Cityscapes it is the paper's network with its weight decay. Its
other settings are not at hand: the recipe is that of other systems on these
data sets. Weights of zijundeng/pytorch-semantic-segmentation have `kernel=7,
deconvolution=False`.
"""

from configs import common


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  paper = arg.dataset in ('voc2012', 'cityscapes') and not arg.small
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'gcn'
  config.model = dict(
      backbone=arg.backbone or 'resnet/152',
      kernel=7,
      deconvolution=False,
      last_conv=False,
      upsampling='transposed',
  )
  if arg.small:  # The channels of scores are few, so those of features count.
    config.model.update(
        backbone=arg.backbone or 'resnet/tiny(width=32)', deconvolution=True
    )
  if paper:
    config.model.update(kernel=15, deconvolution=True)
    config.optim.weight_decay = 5e-4
  return config
