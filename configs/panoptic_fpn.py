r"""Panoptic FPN, https://arxiv.org/abs/1901.02446.

Paper: 58.1 PQ, 33.0 AP and 75.7 mIoU on Cityscapes val, ResNet-101; 40.9 PQ on
COCO test-dev. detectron2's ResNet-50 has 39.4 PQ on COCO val2017, and 41.5 with
three times the steps,
https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md.

  bash launch/local.sh --config=configs/panoptic_fpn.py
  python -m segjax.main --workdir=runs/panoptic \
      --config=configs/panoptic_fpn.py:cityscapes

The recipe for Cityscapes is the paper's, which begins with weights of ImageNet:
--config.init_from; that for COCO, `:coco_panoptic`, has the 90000 steps of
detectron2. Its stuff comes before things, since class 0 is no object here.
Objects come with `instances=True` of the data set, which is an error for sets
that do not read them.
"""

from configs import common

# What is otherwise than for label maps, on a laptop.
SMALL = {
    'shapes': dict(
        train='flip|random_crop(96, 128)|objects(8)|normalize',
        steps=1000,
        batch=8,
        lr=1e-3,
        predict_batch=8,
    ),
    'coco_panoptic': dict(
        train='random_scale(0.5, 1.0)|random_crop(192)|flip|objects(60)'
        '|normalize',
        options=dict(stuff_first=True),
        steps=1000,
        batch=4,
        lr=1e-3,
    ),
}
PAPER = {
    'coco_panoptic': dict(
        train='random_short((640, 672, 704, 736, 768, 800), 1333)'
        '|random_crop(800, 1344)|flip|objects(100)|normalize',
        eval="resize(800, mode='short')|normalize",
        options=dict(stuff_first=True),
        steps=90_000,
        batch=16,
    ),
    'cityscapes': dict(
        train='random_scale(0.5, 2.0)|random_crop(512, 1024)|flip|photometric'
        '|objects(100)|normalize',
        steps=65_000,
        batch=32,
    ),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = common.choose('dataset', arg.dataset, SMALL if arg.small else PAPER)
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.dataset.options.instances = True
  config.task = (
      'panoptic_two_stage(semantic_weight=1.0, instance_weight=1.0,'
      ' overlap=0.5, stuff_area=4096, score=0.5)'
  )
  config.model_name = 'panoptic_fpn'
  config.model = dict(
      backbone=arg.backbone or ('resnet/tiny' if arg.small else 'resnet/101'),
      object_classes=0,
      pyramid_features=256,
      features=128,
      norm_groups=32,
      anchor_sizes=((32.0,), (64.0,), (128.0,), (256.0,), (512.0,)),
      anchor_ratios=(0.5, 1.0, 2.0),
      rounded_anchors=False,
      sampling=0,
      aligned=True,
      box_features=1024,
      mask_features=256,
      mask_depth=4,
      before=(1000, 2000),
      proposals=(1000, 1000),
      min_score=0.05,
      max_overlap=0.5,
      detections=100,
      rpn_sample=256,
      roi_sample=512,
      upsampling='transposed',
      points='',
  )
  if arg.small:
    config.task = 'panoptic_two_stage(stuff_area=64)'
    config.model.update(
        pyramid_features=32,
        features=32,
        norm_groups=8,
        anchor_sizes=((12.0,), (24.0,), (48.0,), (80.0,), (96.0,)),
        sampling=2,
        box_features=128,
        mask_features=32,
        mask_depth=2,
        before=(64, 64),
        proposals=(32, 64),
        detections=16,
        rpn_sample=64,
        roi_sample=32,
    )
    config.optim.clip = 5.0
    return config

  config.optim.weight_decay = 1e-4
  if arg.dataset == 'coco_panoptic':
    config.lr.base = 0.02
    config.lr.schedule = 'multistep(at=(0.66667, 0.88889))'
  else:
    config.lr.base = 0.01
    # The rate is lowered after 40k and 55k steps.
    config.lr.schedule = 'multistep(at=(0.61538, 0.84615))'
  config.lr.warmup_steps = 1000
  config.optim.clip = 35.0
  return config
