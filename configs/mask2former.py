r"""Mask2Former, https://arxiv.org/abs/2112.01527.

The authors' code: 47.2 mIoU on ADE20K val with ResNet-50 and 47.7 with Swin-T,
one scale; panoptic quality 39.7 on ADE20K with ResNet-50, and on COCO 51.9 with
ResNet-50 and 53.2 with Swin-T. Ours: 59.1 mIoU on val of `shapes`, a tiny
ResNet from random weights, 700 steps in 3 CPU minutes: queries learn slowly.

  bash launch/local.sh --config=configs/mask2former.py
  python -m segjax.main --workdir=runs/ade20k \
      --config=configs/mask2former.py:dataset=ade20k \
      --config.init_from=torchvision:resnet50-0676ba61
  python -m segjax.main --workdir=runs/panoptic \
      --config=configs/mask2former.py:cityscapes,task=panoptic \
      --config.init_from=torchvision:resnet50-0676ba61
"""

from configs import common

# Whether a task has objects.
OBJECTS = {'semantic': False, 'panoptic': True, 'instances': True}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', backbone='', task='semantic', small=False
  )
  changes = {}
  if arg.small:
    changes = dict(lr=1e-3)
  elif arg.dataset == 'cityscapes':
    changes = dict(steps=90_000, batch=16)
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'mask2former'
  config.task = arg.task
  if common.choose('task', arg.task, OBJECTS):
    config.dataset.options.instances = True
  config.model = dict(
      backbone=arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50'),
      features=256,
      heads=8,
      points=4,
      encoder_layers=6,
      encoder_inner=1024,
      queries=100,
      decoder_layers=9,
      decoder_inner=2048,
  )
  config.system_loss = dict(
      class_weight=2.0,
      mask_weight=5.0,
      dice_weight=5.0,
      void_weight=0.1,
      points=12544,
      oversampling=3,
      importance=0.75,
  )
  config.optim.optimizer = 'adamw'
  config.optim.weight_decay = 0.05
  if arg.small:
    config.model.update(
        features=64,
        heads=4,
        points=2,
        encoder_layers=1,
        encoder_inner=64,
        queries=12,
        decoder_layers=3,
        decoder_inner=64,
    )
    if arg.dataset == 'nuclei':
      config.model.queries = 100
    config.system_loss.points = 256
    config.lr.warmup_steps = 50
  if arg.task == 'instances':  # An object for each query, at most.
    config.preprocess.train += f'|objects({config.model.queries})'
  if arg.small:
    return config
  config.optim.decay_on = '^(?!.*(norm|queries|positions|levels))'
  config.optim.factors = (('^backbone/', 0.1),)
  config.optim.clip = 0.01
  config.lr.base = 1e-4
  config.lr.schedule = 'poly(power=0.9)'
  return config
