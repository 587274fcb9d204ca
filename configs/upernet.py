r"""UPerNet, https://arxiv.org/abs/1807.10221.

The authors' code has 40.44 mIoU on ADE20K val (ResNet-50, one scale), and 42.00
with ResNet-101. mmsegmentation, whose network and recipe these are, reports
42.05 and 43.82 (crops of 512x512, 160k steps). `csail=True` is the network and
recipe of the authors.

  bash launch/local.sh --config=configs/upernet.py
  python -m segjax.main --workdir=runs/ade20k \
      --config=configs/upernet.py:dataset=ade20k
  python -m segjax.main --workdir=runs/csail \
      --config=configs/upernet.py:dataset=ade20k,csail=True
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', backbone='', small=False, csail=False
  )
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'upernet'
  config.model = dict(
      backbone=arg.backbone
      or ('resnet/tiny' if arg.small else 'resnet/50_v1c'),
      norm_levels=False,
      bins=(1, 2, 3, 6),
      features=512,
      enlarge_first=False,
      shared=False,
      dropout=0.1,
      align_corners=False,
      aux_level='c4',
  )
  if arg.small:
    config.model.update(features=32)
  if arg.csail:
    common.ade20k_of_csail(config, steps=150_000)
    config.model.update(
        backbone=arg.backbone or 'resnet/50_v1s',
        enlarge_first=True,
        dropout=0.0,
        aux_level='',
    )
  return config
