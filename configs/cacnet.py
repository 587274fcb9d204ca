r"""CaC-Net, https://arxiv.org/abs/2004.08222.

The paper's numbers are not at hand. On Pascal Context and ADE20K the recipe is
that of PyTorch-Encoding, which the paper's network stands on. Ours: 82.8 mIoU
on val of `shapes`, a tiny ResNet from random weights, 700 steps in 2 CPU
minutes.

  bash launch/local.sh --config=configs/cacnet.py
  python -m segjax.main --workdir=runs/context \
      --config=configs/cacnet.py:dataset=pascal_context \
      --config.dataset.options.num_classes=60
"""

from configs import common


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = {} if arg.small else common.ENCODING.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'cacnet'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/101_v1s'),
          output_stride=8,
      ),
      features=64 if arg.small else 512,
      side=3,
      dilations=(1, 3, 5),
      dropout=0.1,
      aux_level='c4',
  )
  if recipe:
    common.sgd_of_encoding(config, recipe['lr'])
  return config
