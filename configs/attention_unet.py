r"""Attention U-Net, https://arxiv.org/abs/1804.03999.

The paper's scores are those of volumes, which are not among the data sets here.
On Cityscapes the recipe is PaddleSeg's, which gives no score: crops of 512 x
1024, 80,000 iterations, SGD from a rate of 0.05; its batches of 2 on each card
are 8 here, as if there were four cards.

  bash launch/local.sh --config=configs/attention_unet.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/attention_unet.py:dataset=cityscapes
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'attention_unet'
  config.model = dict(width=8 if arg.small else 64, gate='additive')
  if arg.dataset == 'cityscapes' and not arg.small:
    config.lr.base = 0.05
    config.lr.schedule = 'poly(power=0.9)'
  return config
