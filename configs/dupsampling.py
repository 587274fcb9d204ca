r"""DUpsampling, https://arxiv.org/abs/1903.02120.

Paper: 88.1 mIoU on VOC 2012 test (Xception-65, also trained on COCO), 52.5 on
Pascal Context. LinZhuoChen's code, whose network and recipe it is, reports
none.

  python -m segjax.tools.dupsampling --config=configs/dupsampling.py \
      --output=runs/expand
  python -m segjax.main --config=configs/dupsampling.py --workdir=runs/shapes \
      --config.init_from=runs/expand \
      --config.optim.factors="(('^expand/', 0.0),)"

The first command fits the map from codes to patches of labels, the second
trains the network with the map as it is. That code trains the map further:
leave the factor out. `configs/dupsampling.py:dataset=voc2012` in both commands
has its recipe, but that images are cropped and not resized to 528x528.
"""

from configs import common

VOC2012 = dict(
    train='random_scale(0.5, 2.0)|random_crop(528)|flip|normalize',
    steps=66_000,  # 100 epochs.
    batch=16,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  paper = arg.dataset == 'voc2012' and not arg.small
  config = common.base(
      arg.dataset, small=arg.small, **(VOC2012 if paper else {})
  )
  config.model_name = 'dupsampling'
  network = 'resnet/50(output_stride=16, dilate_first=True)'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else network),
          output_stride=16,
      ),
      factor=16,
      code_features=64,
      low_features=48,
      features=256,
      dropout=(0.5, 0.1),
  )
  if arg.small:
    config.model.update(low_features=16, features=64, dropout=(0.1, 0.1))
  if paper:
    config.optim.weight_decay = 1e-4
    config.lr.base = 7e-3
    config.lr.schedule = 'poly(power=0.9)'
  return config
