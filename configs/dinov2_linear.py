r"""DINOv2 with a linear head, https://arxiv.org/abs/2304.07193.

The authors' model card: 47.2 mIoU on ADE20K val with ViT-S, 51.3 with B, 53.1
with L and 53.0 with g, four blocks joined and several scales (`multi=True`).
Ours: 53.8 mIoU on val of `shapes`, a tiny ViT without the pretraining that the
paper is about, trained as a whole, 700 steps in 3 CPU minutes.

  bash launch/local.sh --config=configs/dinov2_linear.py
  python -m segjax.convert --source=dinov2 --backbone=vit/dinov2_small \
      --checkpoint=dinov2_vits14_pretrain.pth --output=runs/dinov2
  python -m segjax.main --workdir=runs/ade20k \
      --config=configs/dinov2_linear.py:dataset=ade20k \
      --config.init_from=runs/dinov2 --config.init_only='^backbone/'

All recipes but the small one freeze the backbone, so they need its weights.
"""

from configs import common

# The last four blocks, of 12, 24 and 40.
LAST = {'small': 12, 'base': 12, 'large': 24, 'giant': 40}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', size='small', multi=False, small=False
  )
  depth = common.choose('size', arg.size, LAST)
  changes = dict(lr=1e-3) if arg.small else {}
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'dinov2_linear'
  config.model = dict(
      backbone=f'vit/dinov2_{arg.size}',
      taps=tuple(range(depth - 4, depth)) if arg.multi else (),
  )
  config.optim.optimizer = 'adamw'
  if arg.small:
    config.model.update(
        backbone=(
            'vit/tiny(width=64, depth=6, heads=4, patch=8,'
            ' image_size=(96, 128), layer_scale=1.0)'
        ),
        taps=(),
    )
    config.optim.weight_decay = 0.01
    config.lr.warmup_steps = 50
    return config
  config.optim.factors = (('^backbone/', 0.0),)
  config.optim.weight_decay = 1e-4
  config.total_steps = 40_000
  config.lr.base = 1e-3
  config.lr.schedule = 'poly(power=1.0)'
  config.lr.warmup_steps = 1500
  config.lr.warmup_from = 1e-6
  config.predict.mode = 'slide'
  config.predict.window = (512, 512)
  config.predict.stride = (341, 341)
  if arg.multi:
    config.predict.scales = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    config.predict.flip = True
  return config
