r"""EMANet, https://arxiv.org/abs/1907.13426.

Paper: 80.05 mIoU on VOC 2012 val (ResNet-101, 512 features, one scale).
mmsegmentation, whose network and recipe other data sets have, reports 77.59 on
Cityscapes val (ResNet-50, crops of 512x1024, 80k steps).

  bash launch/local.sh --config=configs/emanet.py
  python -m segjax.main --workdir=runs/voc \
      --config=configs/emanet.py:dataset=voc2012

On VOC it is the network and the recipe of the authors' code, but for the norms:
theirs leave 0.9997 of the running statistics at each step.
"""

from configs import common

VOC = dict(
    train='random_scale(0.5, 2.0, step=0.25)'
    '|random_crop(513, cat_max_ratio=1.0)|flip|normalize',
    steps=30_000,
    batch=16,
)
# The convolution before the attention gets no gradient, and must not decay.
FROZEN = (('^unit/project/', 0.0),)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  paper = arg.dataset == 'voc2012' and not arg.small
  changes = VOC if paper else {}
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'emanet'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50_v1c'),
          output_stride=8,
      ),
      features=512,
      num_bases=64,
      steps=3,
      momentum=0.9,
      unit_mean=True,
      join=True,
      align_corners=False,
      dropout=0.1,
      aux_level='c4',
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  config.optim.factors = FROZEN
  if arg.small:
    config.model.update(features=64, num_bases=16)
  if paper:
    config.model.update(
        backbone=common.backbone(
            arg.backbone or 'resnet/101_v1s',
            output_stride=8,
            multi_grid=(0, 2, 4),
        ),
        unit_mean=False,
        join=False,
        align_corners=True,
        aux_level='',
    )
    config.optim.factors = (*FROZEN, ('bias$', 2.0))
    config.optim.decay_on = 'kernel$'
    config.optim.weight_decay = 1e-4
    config.lr.base = 9e-3
    config.lr.schedule = 'poly(power=0.9)'
  return config
