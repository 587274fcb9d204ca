r"""UPerNet, https://arxiv.org/abs/1807.10221.

The authors' code has 40.44 mIoU on ADE20K val (ResNet-50, one scale), and 42.00
with ResNet-101. mmsegmentation, whose network and recipe these are, reports
42.05 and 43.82 (crops of 512x512, 160k steps). `csail=True` is the network and
recipe of the authors.

Swin and ConvNeXt have their own recipes, mmsegmentation's for ADE20K, from
backbones trained on ImageNet: 44.41 mIoU with Swin-T, 47.72 with S, 47.99 with
B; 46.11 with ConvNeXt-T, 48.56 with S, 48.71 with B, and after ImageNet-22k,
with crops of 640x640, 53.16 with L and 53.58 with XL (one scale, 160k steps).

  bash launch/local.sh --config=configs/upernet.py
  python -m segjax.main --workdir=runs/ade20k \
      --config=configs/upernet.py:dataset=ade20k
  python -m segjax.main --workdir=runs/csail \
      --config=configs/upernet.py:dataset=ade20k,csail=True
  python -m segjax.main --workdir=runs/swin \
      --config=configs/upernet.py:dataset=ade20k,backbone=swin/tiny \
      --config.init_from=IMAGENET

IMAGENET is a workdir that `segjax.convert --source=timm --backbone=swin/tiny`
makes.
"""

from configs import common


def modern_recipe(config, backbone):
  """Sets what mmsegmentation trains Swin and ConvNeXt with.

  Args:
    config: the config to change.
    backbone: string of the backbone.
  """
  family, _, variant = backbone.partition('(')[0].partition('/')
  config.model.aux_features = 256
  config.optim.optimizer = 'adamw'
  config.lr.schedule = 'poly(power=1.0)'
  config.lr.warmup_steps = 1500
  config.lr.warmup_from = 1e-6
  if family == 'swin':
    config.lr.base = 6e-5
    config.optim.weight_decay = 0.01
    config.optim.decay_on = '^(?!backbone/.*(norm|positions))'
    return
  config.dtype = 'bfloat16'
  config.lr.base = 8e-5 if variant == 'xlarge' else 1e-4
  config.optim.weight_decay = 0.05
  config.optim.decay_on = 'kernel$'
  # The learning rate falls by 0.9 from stage to stage, and from the head to the
  # last stage as if more lay between them.
  last = 3 if variant == 'tiny' else 9
  config.optim.layer_decay = f'stages(decay=0.9, last={last})'
  if config.dataset.name == 'ade20k':
    side = 640 if variant in ('large', 'xlarge') else 512
    short = f"resize({side}, mode='short')"
    config.preprocess.train = f'{short}|{common.USUAL.format(side)}'
    config.preprocess.eval = f'{short}|normalize'
    config.predict.mode = 'slide'
    config.predict.window = (side, side)
    config.predict.stride = (2 * side // 3, 2 * side // 3)


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
      aux_features=0,
      points='',
  )
  config.system_loss.point_weight = 1.0  # Of a point head.
  modern = arg.backbone.startswith(('swin/', 'convnext/'))
  if arg.small:
    config.model.update(features=32)
    if modern:
      config.lr.base = 2e-3
  elif modern:
    modern_recipe(config, arg.backbone)
  if arg.csail:
    common.ade20k_of_csail(config, steps=150_000)
    config.model.update(
        backbone=arg.backbone or 'resnet/50_v1s',
        enlarge_first=True,
        dropout=0.0,
        aux_level='',
    )
  return config
