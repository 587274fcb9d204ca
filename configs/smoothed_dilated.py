r"""Smoothed dilated convolutions, https://arxiv.org/abs/1808.08931.

Paper: 75.4 mIoU on VOC 2012 val, ResNet-101, one scale, without a CRF, with
either smoothing; 75.1 without. Training begins with weights for COCO; with
those for ImageNet it is 72.3 by interaction, 72.1 by the separable filter and
71.7 without. Ours: 85.1 mIoU on val of `shapes`, a tiny ResNet from random
weights, 700 steps in 1.7 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/smoothed_dilated.py
  python -m segjax.convert --source=kazuto1011 --backbone=resnet/101_caffe \
      --checkpoint=deeplabv1_resnet101-coco.pth --output=runs/coco
  python -m segjax.main --workdir=runs/voc \
      --config=configs/smoothed_dilated.py:dataset=voc2012 \
      --config.init_from=runs/coco
  python -m segjax.main --workdir=runs/separable \
      --config=configs/smoothed_dilated.py:voc2012,smoothing=separable \
      --config.init_from=runs/coco

Norms are frozen, so all recipes but the small one need pretrained weights.
These were trained on BGR images.
"""

from configs import common

CAFFE = 'normalize((122.675, 116.669, 104.008), 1.0)|bgr'
RECIPE = dict(
    train='random_scale(0.5, 1.5)|random_crop(321, cat_max_ratio=1.0)|flip'
    f'|{CAFFE}',
    steps=20_000,
    batch=10,
)


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(
      arg,
      dataset='shapes',
      backbone='',
      smoothing='interaction',
      small=False,
  )
  changes = {} if arg.small else RECIPE
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'smoothed_dilated'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/101_tf'),
          output_stride=8,
          smoothing=arg.smoothing,
      ),
      rates=(6, 12, 18, 24),
  )
  if arg.small:  # In small feature maps, larger rates would read only padding.
    config.model.update(rates=(1, 2, 3, 4))
    return config
  config.preprocess.eval = config.preprocess.eval.replace('normalize', CAFFE)
  common.caffe_sgd(
      config, 1e-3, 'poly(power=0.9)', new='^aspp/', frozen='/norm/'
  )
  return config
