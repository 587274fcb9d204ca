r"""Light-Weight RefineNet, https://arxiv.org/abs/1810.03272.

The author's code: 78.5 mIoU on VOC 2012 val with ResNet-50, 80.3 with
ResNet-101, 76.2 with MobileNetV2, each with one scale. Ours: 76.5 on
val of `shapes`, which is drawn, after 700 steps from random weights, in 2.3 CPU
minutes, by the first command.

  bash launch/local.sh --config=configs/lw_refinenet.py
  python -m segjax.main --workdir=runs/voc \
      --config=configs/lw_refinenet.py:dataset=voc2012
  python -m segjax.main --workdir=runs/mobile \
      --config=configs/lw_refinenet.py:dataset=voc2012,backbone=mobilenet/v2_drsleep

On VOC 2012 batch, crops and learning rates are those that the author gives for
NYUDv2, where the rate falls in three stages to a half and then to a fifth, here
to a half and to a quarter.
"""

from configs import common

VOC2012 = dict(
    train='random_scale(0.5, 2.0)|random_crop(500)|flip|normalize', batch=6
)
NORMS = '^backbone/.*norm/'


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  paper = arg.dataset == 'voc2012' and not arg.small
  config = common.base(
      arg.dataset, small=arg.small, **(VOC2012 if paper else {})
  )
  config.model_name = 'lw_refinenet'
  config.model = dict(
      backbone=arg.backbone or f'resnet/{"tiny" if arg.small else 50}',
      features=256,
      top_features=512,
      dropout=0.5,
      mobile=False,
  )
  if arg.backbone.startswith('mobilenet/'):
    config.model.update(top_features=256, dropout=0.0, mobile=True)
  if arg.small:
    config.model.update(features=64, top_features=64)
  if paper:
    config.optim.weight_decay = 1e-5
    config.optim.factors = ((NORMS, 0.0), ('^backbone/', 0.1))
    config.lr.base = 5e-3
    config.lr.schedule = 'multistep(at=(0.3333, 0.6667), factor=0.5)'
  return config
