r"""MaX-DeepLab, https://arxiv.org/abs/2012.00759.

DeepLab2 has 47.0 PQ on COCO val with MaX-DeepLab-S after 400,000 steps with
images of 641 pixels, and 45.9 after 100,000 steps,
https://github.com/google-research/deeplab2.

  bash launch/local.sh --config=configs/max_deeplab.py
  python -m segjax.main --workdir=runs/max_deeplab \
      --config=configs/max_deeplab.py:coco_panoptic

It is the recipe of 100,000 steps, which begins with weights of ImageNet:
--config.init_from. For Cityscapes, `:cityscapes`, it takes crops of that.
`:coco_panoptic,large=True` is MaX-DeepLab-L on images of 1025 pixels, for which
DeepLab2 has 50.9 PQ after 100,000 steps and 51.3 after 400,000. Ours:
52.9 PQ on val of `shapes`, a tiny axial ResNet from random weights, 700 steps
in 4 CPU minutes, where matching has only begun to settle.
"""

from configs import common

# What is otherwise than for label maps, on a laptop.
SMALL = {
    'shapes': dict(
        train='flip|random_crop(96, 128)|normalize(127.5, 127.5)',
        eval='normalize(127.5, 127.5)',
        steps=700,
        lr=2e-3,
    ),
}
PAPER = {
    name: dict(
        train=f'random_scale(0.5, 1.5)|random_crop({crop})|flip'
        '|normalize(127.5, 127.5)',
        eval='normalize(127.5, 127.5)',
        steps=100_000,
        batch=64,
    )
    for name, crop in (('coco_panoptic', '641'), ('cityscapes', '641, 1281'))
}


LARGE_TRAIN = (
    "resize(1025, mode='long')|random_scale(0.5, 1.5, 0.1)|random_crop(1025)"
    '|flip|normalize(127.5, 127.5)'
)
LARGE_EVAL = "resize(1025, mode='long')|normalize(127.5, 127.5)"


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', backbone='', small=False, large=False
  )
  recipe = common.choose('dataset', arg.dataset, SMALL if arg.small else PAPER)
  if arg.large and arg.dataset == 'coco_panoptic':
    recipe = {**recipe, 'train': LARGE_TRAIN, 'eval': LARGE_EVAL}
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.dataset.options.instances = True
  config.model_name = 'max_deeplab'
  backbone = 'tiny' if arg.small else 'max_s(drop_path=0.2)'
  config.model = dict(
      backbone=arg.backbone or f'axial_resnet/{backbone}',
      memory=128,
      slots=128,
      memory_features=256,
      features=256,
      path_features=256,
      path_levels=('c5',),
      expansion=2048,
      stacks=(0, 0),
      blocks=1,
      depth=128,
      low_features=(64, 32),
      dropout=0.1,
  )
  config.system_loss = dict(
      class_weight=3.0,
      dice_weight=3.0,
      mask_weight=0.3,
      instance_weight=1.0,
      semantic_weight=1.0,
  )
  config.optim.weight_decay = 0.0
  if arg.small:
    config.task = "panoptic(merging='pixelwise', stuff_area=64)"
    config.model.update(
        memory=16,
        slots=16,
        memory_features=64,
        features=64,
        path_features=64,
        expansion=128,
        depth=32,
        low_features=(16, 16),
    )
    return config

  areas = 'thing_area=100, stuff_area=1600'
  if arg.large:
    areas = 'thing_area=256, stuff_area=4096'
    if not arg.backbone:
      config.model.backbone = 'axial_resnet/swidernet(drop_path=0.2)'
    config.model.update(
        memory_features=512,
        path_features=512,
        path_levels=('c4', 'c5'),
        stacks=(1, 1),
        blocks=3,
    )
  config.task = (
      "panoptic(merging='pixelwise', thing_threshold=0.7, pixel_threshold=0.4,"
      f' {areas})'
  )
  config.optim.optimizer = 'adam'
  config.optim.factors = (('backbone', 0.1),)
  config.lr.base = 3e-4 if arg.large else 1e-3
  config.lr.schedule = 'poly(power=0.9)'
  config.lr.warmup_steps = 5000
  return config
