r"""DPT, https://arxiv.org/abs/2103.13413.

mmsegmentation, whose recipe this is, reports 46.97 mIoU on ADE20K val with
ViT-B, 48.34 with several scales. The paper's numbers, of larger networks, are
not at hand.

  bash launch/local.sh --config=configs/dpt.py
  python -m segjax.convert --source=timm --backbone=vit/base \
      --checkpoint=vit_base_patch16_224.safetensors --output=runs/imagenet
  python -m segjax.main --workdir=runs/ade20k \
      --config=configs/dpt.py:dataset=ade20k --config.init_from=runs/imagenet
"""

from configs import common

SMALL_VIT = 'vit/tiny(width=64, depth=4, heads=4, image_size=(96, 128))'


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  changes = dict(lr=4e-3) if arg.small else {}
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'dpt'
  config.model = dict(
      backbone=arg.backbone
      or "vit/base(image_size=(512, 512), resize='bilinear')",
      taps=(2, 5, 8, 11),
      readout='project',
      widths=(96, 192, 384, 768),
      features=256,
      coarsest_unit=False,
      fusion_norm=True,
      dropout=0.1,
      aux_level='fusion3',
      upsampling='transposed',
  )
  config.optim.optimizer = 'adamw'
  config.optim.weight_decay = 0.01
  config.optim.decay_on = '^(?!.*(/norm|positions|class_token))'
  if arg.small:
    config.model.update(
        backbone=arg.backbone or SMALL_VIT,
        taps=(0, 1, 2, 3),
        widths=(16, 24, 32, 32),
        features=24,
    )
    config.lr.warmup_steps = 50
    return config
  config.lr.base = 6e-5
  config.lr.schedule = 'poly(power=1.0)'
  config.lr.warmup_steps = 1500
  config.lr.warmup_from = 1e-6
  config.predict.mode = 'slide'
  config.predict.window = (512, 512)
  config.predict.stride = (341, 341)
  return config
