r"""SETR, https://arxiv.org/abs/2012.15840.

The authors' code: 79.34 mIoU on Cityscapes val with the decoder 'pup' and 77.90
with 'naive' (ViT-L, 80k steps), 50.28 on ADE20K val with 'mla' and several
scales. mmsegmentation, whose network and recipes these are, reports 79.21,
78.10 and 77.00 on Cityscapes with 'pup', 'naive' and 'mla'. Ours: 16.9 on val
of `shapes`, a narrow ViT from random weights, 700 steps in 3 CPU minutes, by
the first command. It finds the shapes but takes all of them for disks: without
pretraining, so few images do not teach a transformer to tell them apart.

  bash launch/local.sh --config=configs/setr.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/setr.py:dataset=cityscapes,decoder=mla \
      --config.init_from=VIT

VIT is a workdir that `segjax.convert --source=timm --backbone=vit/large_384`
makes from the classifier of ImageNet-21k.
"""

from configs import common

# By data set: crops and windows, and the learning rate of each decoder.
RECIPES = {
    'cityscapes': dict(
        side=768, stride=512, rates=dict(naive=0.01, pup=0.01, mla=0.002)
    ),
    'ade20k': dict(
        side=512, stride=341, rates=dict(naive=0.01, pup=0.001, mla=0.001)
    ),
}
SMALL_VIT = (
    'vit/tiny(width=64, depth=4, heads=2, patch=8, image_size=(96, 128),'
    ' patch_bias=False)'
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', decoder='pup', backbone='', small=False
  )
  levels, inner = (5, 11, 17, 23), (9, 14, 19)
  if arg.small:
    levels, inner = (0, 1, 2, 3), (1, 2)
  single = dict(taps=levels[-1:], aux_taps=inner)
  blocks = common.choose(
      'decoder',
      arg.decoder,
      dict(
          naive=dict(**single, aux_steps=2 if arg.dataset == 'ade20k' else 1),
          pup=dict(**single, aux_steps=2),
          mla=dict(taps=levels, aux_taps=levels[::-1], aux_steps=0),
      ),
  )
  changes = dict(aux_weight={f'block{i}': 0.4 for i in blocks['aux_taps']})
  if arg.small:
    changes['lr'] = 1e-3
  elif arg.dataset == 'cityscapes':
    changes['train'] = common.USUAL.format('768')
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'setr'
  recipe = RECIPES.get(arg.dataset, dict(side=512))
  side = recipe['side']
  vit = f'vit/large(image_size=({side}, {side}), patch_bias=False)'
  config.model = dict(
      backbone=arg.backbone or (SMALL_VIT if arg.small else vit),
      decoder=arg.decoder,
      **blocks,
      features=16 if arg.small else 256,
  )
  if arg.small:
    return config
  config.optim.weight_decay = 0.0
  config.optim.factors = (('^(decoder|aux)', 10.0),)
  if arg.dataset in RECIPES:
    config.lr.base = recipe['rates'][arg.decoder]
    config.predict.mode = 'slide'
    config.predict.window = (side, side)
    config.predict.stride = (recipe['stride'],) * 2
  return config
