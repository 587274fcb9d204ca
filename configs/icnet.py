r"""ICNet, https://arxiv.org/abs/1704.08545.

Paper: 67.7 mIoU on Cityscapes val, 69.5 on test, pruned, on a ResNet-50.
mmsegmentation, whose network this is, reports 68.91 on Cityscapes val
(ResNet-50 from random weights, crops of 832, 80k steps), and 74.58 from a
ResNet-50 of ImageNet. Ours: 73.0 on val of `shapes`, a tiny ResNet from random
weights, 700 steps in 1.8 CPU minutes, by the first command.

  bash launch/local.sh --config=configs/icnet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/icnet.py:dataset=cityscapes

`authors=True` is the authors' network after pruning, with the paper's recipe;
the size of its crops is our choice, of the form 32 n + 1 that this network
wants. The authors train a network of twice the width, prune it step by step and
fine-tune it, for which there is no command here.
"""

from configs import common

MMSEG = dict(train=common.USUAL.format('832'))
PAPER = dict(
    train=f'random_scale(0.5, 2.0)|random_crop(513, 1025)|flip|{common.BGR}',
    eval=common.BGR,
    steps=30_000,
    batch=16,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', backbone='', authors=False, small=False
  )
  changes = {}
  if arg.dataset == 'cityscapes' and not arg.small:
    changes = PAPER if arg.authors else MMSEG
  config = common.base(
      arg.dataset,
      small=arg.small,
      aux_weight=dict(stride16=0.4, stride8=0.4),
      **changes,
  )
  network = '50_icnet' if arg.authors else '50_v1c'
  config.model_name = 'icnet'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or f'resnet/{"tiny" if arg.small else network}',
          output_stride=8,
          ceil_pool=True,
      ),
      authors=arg.authors,
      light=(32, 32, 64),
      pyramid_features=512,
      deep_features=256,
      features=128,
      guides=True,
      dropout=0.1,
  )
  if arg.small:
    config.model.update(
        light=(16, 16, 32), pyramid_features=64, deep_features=64, features=64
    )
  elif changes and arg.authors:
    config.optim.weight_decay = 1e-4
    config.lr.schedule = 'poly(power=0.9)'
  return config
