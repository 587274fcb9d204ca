r"""Mask R-CNN, https://arxiv.org/abs/1703.06870.

Paper: 38.2 box AP and 35.7 mask AP on COCO test-dev with ResNet-101 and a
pyramid; 31.5 mask AP on Cityscapes val with ResNet-50, fine labels alone.
torchvision's weights with ResNet-50 have 37.9 and 34.6 on COCO val2017,
https://docs.pytorch.org/vision/stable/models.html, and those of detectron2 for
Cityscapes 36.5 mask AP,
https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md.

  bash launch/local.sh --config=configs/mask_rcnn.py
  python -m segjax.main --workdir=runs/nuclei \
      --config=configs/mask_rcnn.py:nuclei

The first, a tiny ResNet from random weights on a CPU, has 65.4 AP on val, 93.8
at an overlap of 0.5, after 1.6 minutes of CPU time; with

  python -m segjax.main --workdir=runs/nuclei \
      --config=configs/mask_rcnn.py:nuclei,small=True

the same network has 33.7 AP on val of the nuclei, 63.3 at an overlap of 0.5,
after 3.3 minutes.

`masks=False` makes it Faster R-CNN, `variant=c4` reads boxes from the third
stage of the backbone instead of a pyramid. Steps and rates for Cityscapes are
ours, since the paper's were not at hand, on crops instead of whole images; for
COCO, `:coco_instances`, they are the shorter ones of detectron2, 90000 steps.
Both want weights of ImageNet to begin with: --config.init_from. Objects come
with `instances=True` of the data set, which is an error for sets without them.
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
    'nuclei': dict(
        train='random_scale(0.8, 1.6)|random_crop(128)|flip|objects(80)'
        '|normalize',
        steps=2000,
        batch=4,
        lr=1e-3,
    ),
    **{
        name: dict(
            train='random_scale(0.5, 1.0)|random_crop(192)|flip|objects(60)'
            '|normalize',
            steps=1000,
            batch=4,
            lr=1e-3,
        )
        for name in ('coco_instances', 'folder')
    },
}
PAPER = {
    'coco_instances': dict(
        train='random_short((640, 672, 704, 736, 768, 800), 1333)'
        '|random_crop(800, 1344)|flip|objects(100)|normalize',
        eval="resize(800, mode='short')|normalize",
        steps=90_000,
        batch=16,
    ),
    'cityscapes': dict(
        train='random_scale(0.8, 1.25)|random_crop(768, 1536)|flip|objects(100)'
        '|normalize',
        steps=24_000,
        batch=8,
    ),
    'folder': dict(
        train='random_scale(0.5, 2.0)|random_crop(512)|flip|objects(200)'
        '|normalize',
        steps=20_000,
        batch=8,
    ),
    'nuclei': dict(
        train='random_scale(0.8, 1.6)|random_crop(256)|flip|objects(200)'
        '|normalize',
        steps=10_000,
        batch=8,
    ),
}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', backbone='', small=False, variant='fpn'
  )
  recipe = common.choose('dataset', arg.dataset, SMALL if arg.small else PAPER)
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.dataset.options.instances = True
  config.task = 'instances'
  config.model_name = 'mask_rcnn'
  config.model = dict(
      backbone=arg.backbone or ('resnet/tiny' if arg.small else 'resnet/50'),
      levels=('c2', 'c3', 'c4', 'c5', 'c6'),
      pyramid_features=256,
      anchor_sizes=((32.0,), (64.0,), (128.0,), (256.0,), (512.0,)),
      anchor_ratios=(0.5, 1.0, 2.0),
      rounded_anchors=True,
      sampling=2,
      aligned=False,
      masks=True,
      box_features=1024,
      mask_features=256,
      mask_depth=4,
      before=(1000, 2000),
      proposals=(1000, 2000),
      min_score=0.05,
      max_overlap=0.5,
      detections=100,
      rpn_sample=256,
      roi_sample=512,
      upsampling='transposed',
      points='',
  )
  if arg.dataset == 'nuclei':  # Many small objects.
    config.model.update(
        anchor_sizes=((8.0,), (16.0,), (32.0,), (64.0,), (128.0,)),
        detections=300,
    )
  c4 = common.choose('variant', arg.variant, {'fpn': False, 'c4': True})
  if c4:
    config.model.update(
        levels=('c4',), anchor_sizes=((32.0, 64.0, 128.0, 256.0, 512.0),)
    )
  if arg.small:
    config.model.update(
        pyramid_features=32,
        box_features=128,
        mask_features=32,
        mask_depth=2,
        rpn_sample=64,
        roi_sample=32,
    )
    if arg.dataset == 'nuclei':
      levels, sizes = ('c2', 'c3', 'c4'), (12.0, 24.0, 48.0)
      config.model.update(before=(200, 200), proposals=(100, 150))
    else:
      levels, sizes = ('c3', 'c4', 'c5'), (24.0, 48.0, 80.0)
      config.model.update(before=(64, 64), proposals=(32, 64), detections=16)
    config.model.levels = ('c4',) if c4 else levels
    config.model.anchor_sizes = (
        (sizes,) if c4 else tuple((size,) for size in sizes)
    )
    config.optim.clip = 5.0
    config.eval_every = config.total_steps // 2
    return config

  config.optim.weight_decay = 1e-4
  config.optim.decay_on = 'kernel$'
  if arg.dataset == 'coco_instances':
    config.lr.base = 0.02
    config.lr.schedule = 'multistep(at=(0.66667, 0.88889), factor=0.1)'
  else:
    config.lr.base = 0.01
    config.lr.schedule = 'multistep(at=(0.75,), factor=0.1)'
  config.lr.warmup_steps = 1000
  config.lr.warmup_from = 0.001
  config.optim.clip = 35.0
  return config
