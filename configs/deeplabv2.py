r"""DeepLabv2, https://arxiv.org/abs/1606.00915.

The authors' network has 76.35 mIoU on VOC 2012 val (ResNet-101), and 77.69 with
their CRF, according to https://github.com/kazuto1011/deeplab-pytorch, whose own
network has 76.65 and 77.93.

  bash launch/local.sh --config=configs/deeplabv2.py
  python -m segjax.convert --source=kazuto1011 --backbone=resnet/101_caffe \
      --checkpoint=deeplabv1_resnet101-coco.pth --output=runs/coco
  python -m segjax.main --workdir=runs/voc \
      --config=configs/deeplabv2.py:dataset=voc2012 \
      --config.init_from=runs/coco
  python -m segjax.main --workdir=runs/voc --mode=eval \
      --config=configs/deeplabv2.py:dataset=voc2012 \
      --config.predict.refine='dense_crf(
          gaussian=(3.0, 1.0), bilateral=(4.0, 67.0, 3.0), iterations=10)'

Norms are frozen, so all recipes but the small one need pretrained weights.
These were trained on BGR images.
"""

from configs import common

CAFFE = 'normalize((122.675, 116.669, 104.008), 1.0)|bgr'
RECIPE = dict(
    train='random_scale(0.5, 1.5, step=0.25)'
    f'|random_crop(321, cat_max_ratio=1.0)|flip|{CAFFE}',
    steps=20_000,
    batch=10,
)


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  changes = {} if arg.small else RECIPE
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'deeplabv2'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/101_caffe'),
          output_stride=8,
      ),
      rates=(6, 12, 18, 24),
      scales=(0.5, 0.75),
  )
  config.aux_weight = 1.0  # Weight of the loss of each scale.
  if arg.small:  # In small feature maps, larger rates would read only padding.
    config.model.update(rates=(1, 2, 3, 4))
    return config
  config.preprocess.eval = config.preprocess.eval.replace('normalize', CAFFE)
  config.optim.decay_on = 'kernel$'
  config.optim.factors = (
      ('/norm/', 0.0),
      ('^aspp/.*/kernel', 10.0),
      ('^aspp/.*/bias', 20.0),
  )
  config.lr.base = 2.5e-4
  config.lr.schedule = 'poly(power=0.9)'
  return config
