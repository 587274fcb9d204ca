r"""Axial-DeepLab, https://arxiv.org/abs/2003.07853.

DeepLab2 has 66.1 PQ and 82.8 mIoU on Cityscapes val, one scale, with the
Axial-SWideRNet-(1, 1, 1) here, and 67.1 PQ and 83.5 mIoU with (1, 1, 3),
https://github.com/google-research/deeplab2.

  bash launch/local.sh --config=configs/axial_deeplab.py
  python -m segjax.main --workdir=runs/axial_deeplab \
      --config=configs/axial_deeplab.py:cityscapes

The recipe for Cityscapes is that of Axial-SWideRNet-(1, 1, 3), which begins
with weights of ImageNet: --config.init_from. It needs objects beside the
labels, `instances=True` of the data set.
"""

from configs import common

# What is otherwise than for label maps, on a laptop.
SMALL = {
    'shapes': dict(
        train='flip|random_crop(96, 128)|centers(4.0, small_area=0)|normalize',
        steps=500,
    ),
}
PAPER = {
    'cityscapes': dict(
        train='random_scale(0.5, 2.0)|random_crop(1025, 2049)|flip|normalize'
        '|centers(8.0, small_area=4096, small_weight=3.0)',
        steps=60_000,
        batch=32,
    ),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = common.choose('dataset', arg.dataset, SMALL if arg.small else PAPER)
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.dataset.options.instances = True
  config.model_name = 'axial_deeplab'
  large = 'axial_resnet/swidernet(drop_path=0.2)'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('axial_resnet/tiny' if arg.small else large),
          output_stride=16,
      ),
      aspp_features=256,
      features=256,
      instance_features=128,
      head_features=32,
      levels=('c3', 'c2'),
      low_features=(64, 32),
      instance_low_features=(32, 16),
      dropout=0.1,
  )
  config.optim.weight_decay = 0.0
  if arg.small:
    config.task = 'panoptic(stuff_area=64)'
    config.model.update(
        aspp_features=64,
        features=64,
        instance_features=64,
        low_features=(32, 16),
        instance_low_features=(32, 16),
    )
    return config

  config.task = (
      'panoptic(threshold=0.1, nms=13, top_k=400, stuff_area=2048,'
      ' center_weight=200.0, offset_weight=0.01)'
  )
  config.loss = 'hardest_cross_entropy(fraction=0.2)'
  config.optim.optimizer = 'adam'
  config.lr.base = 1e-4
  config.lr.schedule = 'poly(power=0.9)'
  return config
