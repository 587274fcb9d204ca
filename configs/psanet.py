r"""PSANet, https://openaccess.thecvf.com/content_ECCV_2018/html/Hengshuang_Zhao_PSANet_Point-wise_Spatial_ECCV_2018_paper.html.

The author's code reports 78.42 mIoU on Cityscapes val, 43.37 on ADE20K val and
78.70 on VOC 2012 val (ResNet-101, one scale). mmsegmentation, whose network and
recipe other data sets have, reports 77.24 on Cityscapes val (ResNet-50, crops
of 512x1024, 80k steps). Ours: 85.3 on val of `shapes`, a tiny ResNet from
random weights, 700 steps in 2 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/psanet.py
  python -m segjax.main --workdir=runs/ade20k \
      --config=configs/psanet.py:dataset=ade20k

On the three sets it is the network and the recipe of the author's code, which
predicts by windows of the size of the training crop, as its masks cover that.
"""

from configs import common

# The author's: 200, 100 and 50 epochs.
RECIPES = {
    'cityscapes': dict(crop=705, mask=89, steps=37_200),
    'ade20k': dict(crop=465, mask=59, steps=126_300),
    'voc2012': dict(crop=465, mask=59, steps=33_000),
}
TRAIN = (
    'random_scale(0.5, 2.0)|rotate(0.5, 10.0)|blur|flip'
    '|random_crop({}, cat_max_ratio=1.0)|normalize'
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = None if arg.small else RECIPES.get(arg.dataset)
  changes = {}
  if recipe:
    changes = dict(
        train=TRAIN.format(recipe['crop']),
        eval='normalize',
        steps=recipe['steps'],
        batch=16,
    )
  config = common.base(arg.dataset, small=arg.small, **changes)
  if recipe:
    network = 'resnet/101_v1s(dilate_first=True)'
  else:
    network = 'resnet/tiny' if arg.small else 'resnet/50_v1c'
  config.model_name = 'psanet'
  config.model = dict(
      backbone=common.backbone(arg.backbone or network, output_stride=8),
      features=512,
      directions='both',
      mask=(97, 97),
      padded=True,
      align_corners=False,
      dropout=0.1,
      aux_level='c4',
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  if arg.small:
    config.model.update(features=64, mask=(11, 15))
  if recipe:
    crop, mask = recipe['crop'], recipe['mask']
    config.model.update(mask=(mask, mask), padded=False, align_corners=True)
    config.optim.weight_decay = 1e-4
    config.optim.factors = (('^(?!backbone/)', 10.0),)
    config.lr.schedule = 'poly(power=0.9)'
    config.predict.mode = 'slide'
    config.predict.window = (crop, crop)
    config.predict.stride = (2 * crop // 3, 2 * crop // 3)
  return config
