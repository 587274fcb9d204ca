r"""ConvCRF, https://arxiv.org/abs/1805.04777, in stages.

The authors report that it is more than 40 times as fast as a dense CRF, with a
window of 7 (https://github.com/MarvinTeichmann/ConvCRF).

  bash launch/local.sh --config=configs/convcrf.py
  python -m segjax.main --workdir=runs/unary \
      --config=configs/convcrf.py:dataset=voc2012,stage=unary
  python -m segjax.main --workdir=runs/convcrf \
      --config=configs/convcrf.py:dataset=voc2012,stage=crf \
      --config.init_from=runs/unary

stage=unary trains the network without the CRF, stage=crf the CRF with a frozen
network, and stage=joint both. Stage unary has the usual recipe of the data set;
the learning rates of the CRF are our own.
"""

from configs import common

STAGES = {
    'unary': dict(iterations=0),
    'crf': dict(factors=(('backbone|classifier', 0.0),)),
    'joint': dict(factors=(('crf/', 10.0),)),
}


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', stage='joint', backbone='', small=False
  )
  stage = common.choose('stage', arg.stage, STAGES)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'convcrf'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or ('resnet/tiny' if arg.small else 'resnet/101'),
          output_stride=8,
      ),
      dropout=0.1,
      window=7 if arg.small else 11,
      blur=4,
      iterations=stage.get('iterations', 5),
      # Messages are sums over the window, and would dominate untrained unaries.
      weight=0.01 if arg.small else 0.2,
      mix=True,
      image_std=common.IMAGENET_STD,  # The std of normalize.
  )
  config.optim.factors = stage.get('factors', ())
  if arg.stage == 'crf' and not arg.small:
    config.optim.optimizer = 'adam'
    config.optim.weight_decay = 0.0
    config.lr.base = 1e-3
  return config
