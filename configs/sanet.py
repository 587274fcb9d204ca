r"""SANet, https://arxiv.org/abs/1909.03402.

Paper: 53.0 mIoU on Pascal Context val (ResNet-101), 54.4 with EfficientNet-b7;
83.2 on VOC 2012 test, 86.1 after COCO. Ours: 81.1 on val of `shapes`, a tiny
ResNet from random weights, 700 steps in 2 CPU minutes.

  bash launch/local.sh --config=configs/sanet.py
  python -m segjax.main --workdir=runs/context \
      --config=configs/sanet.py:dataset=pascal_context \
      --config.dataset.options.num_classes=60
  python -m segjax.main --workdir=runs/voc \
      --config=configs/sanet.py:dataset=voc2012 --config.init_from=COCO

COCO is the workdir of a run on COCO-Stuff.
"""

from configs import common

RECIPES = {
    'pascal_context': common.ENCODING['pascal_context'],
    'voc2012': {  # 50 epochs.
        **common.ENCODING['pascal_context'],
        'steps': 33_000,
        'lr': 1e-4,
    },
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = {} if arg.small else RECIPES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'sanet'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/101_v1s'),
          output_stride=8,
      ),
      features=32 if arg.small else 128,
      dropout=0.1,
  )
  config.aux_weight = 0.8
  config.system_loss.presence_weight = 0.2
  if recipe:
    common.sgd_of_encoding(config, recipe['lr'])
  return config
