r"""DeconvNet, https://arxiv.org/abs/1505.04366.

The paper reports 72.5 mIoU on VOC 2012 test for an ensemble with FCN
(abstract).

  bash launch/local.sh --config=configs/deconvnet.py
  python -m segjax.main --workdir=runs/stage1 \
      --config=configs/deconvnet.py:voc2012,stage=1 \
      --config.init_from=torchvision:vgg16_bn-6c64b313
  python -m segjax.main --workdir=runs/stage2 \
      --config=configs/deconvnet.py:voc2012,stage=2 \
      --config.init_from=runs/stage1

Stage 1 trains on crops of single objects, and stage 2 on random boxes that
overlap an object by at least half; the paper takes boxes of EdgeBox. Scores in
training are those of whole images; `by_boxes` of segjax.predict predicts in
boxes. Without a stage it trains on whole images as other systems do.
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', stage='', small=False)
  if arg.stage not in ('', '1', '2'):
    raise ValueError(f"stage is 1, 2 or '', not {arg.stage!r}.")
  config = common.base(arg.dataset, small=arg.small)
  config.model_name = 'deconvnet'
  config.model = dict(
      depths=(2, 2, 3, 3, 3), width=64, hidden=4096, hidden_kernel=7
  )
  if arg.small:
    config.model.update(
        depths=(1, 1, 1, 1, 1), width=16, hidden=128, hidden_kernel=3
    )
  size, crop = (112, 96) if arg.small else (250, 224)
  if arg.stage:
    overlap = {'1': 1.0, '2': 0.5}[arg.stage]
    config.preprocess.train = (
        f'normalize|object_crop({size}, enlarge=1.2, overlap={overlap})'
        f'|random_crop({crop}, cat_max_ratio=1.0)|flip'
    )
  if arg.stage and not arg.small:
    config.total_steps, at = {
        '1': (20_000, '(0.45, 0.9)'),
        '2': (40_000, '(0.25, 0.5, 0.75)'),
    }[arg.stage]
    config.batch_size = 64
    config.optim.accumulate = 8
    config.optim.decay_on = 'kernel|scale'
    config.lr.base = 0.01
    config.lr.schedule = f'multistep(at={at}, factor=0.1)'
    config.eval_every = config.checkpoint_every = config.total_steps // 10
  return config
