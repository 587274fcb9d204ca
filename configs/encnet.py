r"""EncNet, https://arxiv.org/abs/1803.08904.

Paper: 51.7 mIoU on Pascal Context val (ResNet-101, 60 classes), 41.11 on
ADE20K val (ResNet-50), several scales each. mmsegmentation, whose network and
recipe other data sets have, reports 77.94 on Cityscapes val (ResNet-50, crops
of 512x1024, 80k steps).

  bash launch/local.sh --config=configs/encnet.py
  python -m segjax.main --workdir=runs/context \
      --config=configs/encnet.py:dataset=pascal_context \
      --config.dataset.options.num_classes=60
"""

from configs import common


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = {} if arg.small else common.ENCODING.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'encnet'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50_v1c'),
          output_stride=8,
      ),
      features=512,
      num_codewords=32,
      lateral=False,
      align_corners=False,
      dropout=0.1,
      aux_level='c4',
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  config.system_loss.presence_weight = 0.2
  if arg.small:
    config.model.update(features=64)
  if not recipe:
    return config
  context = arg.dataset == 'pascal_context'
  config.model.update(
      backbone=common.backbone(
          arg.backbone or f'resnet/{101 if context else 50}_v1s',
          output_stride=8,
      ),
      lateral=context,
      align_corners=True,
  )
  config.aux_weight = 0.2
  common.sgd_of_encoding(config, recipe['lr'])
  return config
