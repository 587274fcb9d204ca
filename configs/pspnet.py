r"""PSPNet, https://arxiv.org/abs/1612.01105.

The paper reports 41.68 mIoU on ADE20K val (ResNet-50, one scale) and 78.4 on
the test set of Cityscapes. mmsegmentation reports 78.55 on Cityscapes val
(ResNet-50, crops of 512x1024, 80k steps). With `csail=True` it is the baseline
of CSAIL's benchmark for ADE20K, ResNet-50 with deep supervision, which has
41.26, and 42.14 over five sizes.

  bash launch/local.sh --config=configs/pspnet.py
  python -m segjax.main --workdir=runs/ade20k \
      --config=configs/pspnet.py:dataset=ade20k
  python -m segjax.main --workdir=runs/csail \
      --config=configs/pspnet.py:dataset=ade20k,csail=True
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', backbone='', small=False, csail=False
  )
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'pspnet'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50_v1c'),
          output_stride=8,
      ),
      level='c5',
      bins=(1, 2, 3, 6),
      features=512,
      pool_features=0,
      plain_mean=False,
      fuse_kernel=3,
      classifier_kernel=1,
      align_corners=False,
      align_pyramid=False,
      dropout=0.1,
      drop_channels=False,
      aux_level='c4',
      aux_features=0,
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  if arg.small:
    config.model.update(features=64)
  if arg.csail:
    common.ade20k_of_csail(config, steps=100_000)
    config.model.backbone = common.backbone(
        arg.backbone or 'resnet/50_v1s', output_stride=8
    )
    config.model.aux_features = 512
  return config
