r"""Deformable DeepLab, https://arxiv.org/abs/1703.06211.

Paper: 75.2 mIoU on Cityscapes val and 75.2 on VOC 2012 val, ResNet-101, where
plain DeepLab has 70.4 and 69.7; the authors' code has 75.2 and 75.9. Ours: 64.2
mIoU on val of `shapes`, a tiny ResNet from random weights at stride 16, 700
steps in 1.3 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/deformable_deeplab.py
  python -m segjax.convert --source=msracver --backbone=resnet/101_msra \
      --checkpoint=resnet_v1_101.npz --output=runs/imagenet
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/deformable_deeplab.py:dataset=cityscapes \
      --config.init_from=runs/imagenet

Norms are frozen, so all recipes but the small one need pretrained weights.
These were trained on BGR images.
"""

from configs import common

BGR = 'normalize((123.15, 115.90, 103.06), 1.0)|bgr'
# 53 epochs of four images a step.
CITYSCAPES = dict(
    train=f'random_crop(768, 1024)|flip|{BGR}',
    steps=53 * 2975 // 4,
    batch=4,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  changes = CITYSCAPES if arg.dataset == 'cityscapes' else {}
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'deformable_deeplab'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/101_msra'),
          deformable=('c5',),
      ),
      features=128 if arg.small else 1024,
      upsampling='transposed',
  )
  config.optim.factors = (('^upsample/', 0.0),)
  if arg.small:
    return config
  for split in ('train', 'eval'):
    text = config.preprocess[split]
    if BGR not in text:
      config.preprocess[split] = text.replace('normalize', BGR)
  config.optim.factors = (
      ('/norm/', 0.0),
      (r'^(upsample|backbone/(stem|stage1_\d))/', 0.0),
      ('bias$', 2.0),
  )
  config.optim.decay_on = 'kernel$'
  config.lr.base = 5e-4
  config.lr.schedule = 'multistep(at=0.76106)'  # After 40.336 epochs.
  config.lr.update(warmup_steps=1000, warmup_from=0.1)
  return config
