r"""PAN, Pyramid Attention Network, https://arxiv.org/abs/1805.10180.

Paper: 84.0 mIoU on VOC 2012 test (without COCO). JaveyWang's code, whose
network it is, has 78.5 on VOC 2012 val, at stride 4 of images of 256x256. Ours:
59.3 mIoU on val of `shapes`, which is drawn, after 700 steps from random
weights, in 1.9 CPU minutes, by the first command; it still rises, from 55.3
after 350 steps. A longer run or a wider backbone was not tried.

  bash launch/local.sh --config=configs/panet.py
  python -m segjax.main --workdir=runs/voc \
      --config=configs/panet.py:dataset=voc2012

On VOC 2012 learning rate and weight decay are those of that code; crops, batch
and momentum are those of other systems.
"""

from configs import common


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'panet'
  network = 'resnet/50(output_stride=16, multi_grid=(0, 1, 2))'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else network),
          output_stride=16,
      ),
      upsampling='transposed',
  )
  # Of the loss of which classes occur in an image.
  config.system_loss.presence_weight = 1.0
  if arg.dataset == 'voc2012' and not arg.small:
    config.optim.weight_decay = 1e-4
    config.lr.base = 4e-3
    config.lr.schedule = 'poly(power=0.9)'
  return config
