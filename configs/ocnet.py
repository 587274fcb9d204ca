r"""OCNet, https://arxiv.org/abs/1809.00916.

The authors' code reports 81.7 mIoU on Cityscapes test (ResNet-101, fine labels
only) and 45.45 on ADE20K val, both with several scales. Ours: 78.5 on val of
`shapes`, head 'base' on a tiny ResNet from random weights, 700 steps in 2 CPU
minutes, by the first command.

  bash launch/local.sh --config=configs/ocnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/ocnet.py:dataset=cityscapes,head=asp

On Cityscapes it is the network and the recipe of the authors' code, which
begins with a backbone trained on ImageNet: `--config.init_from` and
`--config.init_only='^backbone/'`.
"""

from configs import common

BACKBONE = (
    'resnet/101_v1s(dilate_first=True, ceil_pool=True, absolute_scale=True)'
)
# BGR from 0 to 255, minus the authors' mean.
BGR = 'normalize((122.7717, 115.9465, 102.9801), 1.0)|bgr'
CITYSCAPES = dict(
    train='random_scale(0.5, 2.1, step=0.1)'
    f'|random_crop(769, cat_max_ratio=1.0)|flip|{BGR}',
    eval=BGR,
    class_weights='0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754,'
    ' 1.0489, 0.8786, 1.0023, 0.9539, 0.9843, 1.1116, 0.9037, 1.0865, 1.0955,'
    ' 1.0865, 1.1529, 1.0507',
    steps=40_000,
    batch=8,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`. `head` is one of the model."""
  arg = common.parse_arg(
      arg, dataset='shapes', backbone='', head='base', small=False
  )
  paper = arg.dataset == 'cityscapes' and not arg.small
  config = common.base(
      arg.dataset, small=arg.small, **(CITYSCAPES if paper else {})
  )
  config.model_name = 'ocnet'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else BACKBONE),
          output_stride=8,
      ),
      head=arg.head,
      features=512,
      cells=(1, 2, 3, 6),
      rates=(12, 24, 36),
      align_corners=True,
      dropout=0.1 if arg.head == 'asp' else 0.05,
      aux_level='c4',
      aux_features=512,
  )
  if arg.small:
    config.model.update(features=64, aux_features=0)
  if paper:
    config.lr.schedule = 'poly(power=0.9)'
  return config
