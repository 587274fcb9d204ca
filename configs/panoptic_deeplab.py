r"""Panoptic-DeepLab, https://arxiv.org/abs/1911.10194.

Paper: 63.0 PQ, 35.3 AP and 80.5 mIoU on Cityscapes val, Xception-71, one scale.
Its author's code has 59.8 PQ, 26.9 AP and 78.6 mIoU with the ResNet-50 here,
https://github.com/bowenc0221/panoptic-deeplab, and detectron2, on a ResNet-52
with separable convolutions, 60.3 PQ, 32.1 AP and 78.7 mIoU,
https://github.com/facebookresearch/detectron2/tree/main/projects.

  bash launch/local.sh --config=configs/panoptic_deeplab.py
  python -m segjax.main --workdir=runs/panoptic \
      --config=configs/panoptic_deeplab.py:cityscapes

The first, a tiny ResNet from random weights on a CPU, has 79.4 PQ on val of the
embedded set (things 76.9, background 96.7) after 3 minutes of CPU time; with

  python -m segjax.main --workdir=runs/nuclei \
      --config=configs/panoptic_deeplab.py:nuclei,small=True

the same network has 66.5 PQ (nuclei 44.3, background 88.7) on val of the nuclei
after 5.4 minutes, and 20.0 AP of masks, 54.7 at an overlap of 0.5.

`:cityscapes,deeplab2=True` has the network and recipe of DeepLab2, on
ResNet-50-Beta: 60.8 PQ and 77.0 mIoU on val,
https://github.com/google-research/deeplab2; its rate and batch are those of its
ResNet-50.

The recipe for Cityscapes is that of its author's ResNet-50, which begins with
weights of ImageNet: --config.init_from. Those for COCO, `:coco_panoptic`, and
for sets of your own, `:folder`, are ours. It needs objects beside the labels,
`instances=True` of the data set, which is an error for sets that do not read
them.
"""

from configs import common

# What is otherwise than for label maps, on a laptop.
SMALL = {
    'shapes': dict(
        train='flip|random_crop(96, 128)|centers(4.0, small_area=0)|normalize',
        steps=500,
    ),
    'nuclei': dict(
        train='random_scale(0.8, 1.6)|random_crop(128)|flip|normalize'
        '|centers(2.0, small_area=0)',
        steps=2000,
        batch=8,
    ),
    **{
        name: dict(
            train='random_scale(0.5, 1.0)|random_crop(192)|flip|normalize'
            '|centers(4.0, small_area=0)',
            steps=1000,
            batch=4,
        )
        for name in ('coco_panoptic', 'folder')
    },
}
PAPER = {
    **{
        name: dict(
            train='random_scale(0.5, 2.0)|random_crop(641)|flip|normalize'
            '|centers(8.0, small_area=1024, small_weight=3.0)',
            steps=200_000,
            batch=16,
        )
        for name in ('coco_panoptic', 'folder')
    },
    'cityscapes': dict(
        train='random_scale(0.5, 2.0)|random_crop(1025, 2049)|flip|normalize'
        '|centers(8.0, small_area=4096, small_weight=3.0)',
        steps=90_000,
        batch=8,
    ),
    'nuclei': dict(
        train='random_scale(0.5, 2.0)|random_crop(256)|flip|photometric'
        '|normalize|centers(4.0, small_area=0)',
        steps=10_000,
        batch=8,
    ),
}


# Fields of the model in DeepLab2.
DEEPLAB2 = dict(
    image_norm=True,
    levels=('c3', 'c2'),
    low_features=(64, 32),
    instance_low_features=(32, 16),
    dropout=0.1,
    epsilon=1e-3,
    momentum=0.99,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', backbone='', deeplab2=False, small=False
  )
  recipe = common.choose('dataset', arg.dataset, SMALL if arg.small else PAPER)
  if arg.deeplab2 and not arg.small:
    recipe = {**recipe, 'steps': 60_000}
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.dataset.options.instances = True
  config.model_name = 'panoptic_deeplab'
  if arg.small:
    backbone = 'resnet/tiny'
  else:
    backbone = 'resnet/50_beta' if arg.deeplab2 else 'resnet/50'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or backbone,
          output_stride=16 if arg.small else 32,
      ),
      rates=(3, 6, 9),
      separable=False,
      image_norm=False,
      pool_bias=False,
      aspp_features=256,
      features=256,
      instance_features=128,
      head_features=32,
      levels=('c4', 'c3', 'c2'),
      low_features=(128, 64, 32),
      instance_low_features=(64, 32, 16),
      low_first=False,
      separable_center=True,
      align_corners=True,
      dropout=0.5,
      epsilon=1e-5,
      momentum=0.9,
  )
  if arg.deeplab2:
    config.model.update(DEEPLAB2)
  config.optim.weight_decay = 0.0
  if arg.small:
    config.task = 'panoptic(stuff_area=64)'
    if arg.dataset == 'nuclei':  # Many small objects.
      config.task = 'panoptic(stuff_area=64, nms=5, top_k=400)'
    config.model.update(
        rates=(2, 4, 6),
        aspp_features=64,
        features=64,
        instance_features=64,
        levels=('c3', 'c2'),
        low_features=(32, 16),
        instance_low_features=(32, 16),
        dropout=0.1,
    )
    return config

  nms, top_k = (13, 400) if arg.deeplab2 else (7, 200)
  config.task = (
      f'panoptic(threshold=0.1, nms={nms}, top_k={top_k}, stuff_area=2048,'
      ' center_weight=200.0, offset_weight=0.01)'
  )
  config.loss = 'hardest_cross_entropy(fraction=0.2)'
  config.optim.optimizer = 'adam'
  config.lr.base = 2.5e-4 if arg.deeplab2 else 5e-5
  config.lr.schedule = 'poly(power=0.9)'
  return config
