r"""SDS, https://arxiv.org/abs/1407.1808.

The paper reports mean AP^r of objects on VOC 2012 val, at an overlap of 0.5:
47.7, and 49.7 with refinement. Here refined masks are pasted into a label map,
which is scored by mIoU.

Proposals are files beside the images, see segjax/data/datasets/README.md;
`shapes` draws its own.

  bash launch/local.sh --config=configs/sds.py
  python -m segjax.main --workdir=runs/voc \
      --config=configs/sds.py:dataset=voc2012
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.dataset.options.proposals = 12 if arg.small else 64
  # Only proposals that overlap an object this much train the masks.
  config.task = 'proposals(mask_overlap=0.7)'
  config.model_name = 'sds'
  config.model = dict(
      backbone=arg.backbone
      or ('caffenet/tiny' if arg.small else 'caffenet/reference'),
      size=227,
      context=16,
      grid=10,
      dropout=0.5,
      max_overlap=0.0,
      min_score=0.0,
  )
  if arg.small:
    config.model.update(size=67, context=6, dropout=0.2, min_score=-0.5)
    config.preprocess.train += '|label_proposals'
    return config

  # The crop takes whole images of VOC, whose sides have up to 500 pixels.
  normalize = 'bgr|normalize((104.007, 116.669, 122.679), 1.0)'
  config.preprocess.train = (
      f'random_crop(500, cat_max_ratio=1.0)|flip|{normalize}|label_proposals'
  )
  config.preprocess.eval = normalize
  config.total_steps = 100_000
  config.batch_size = 2  # Images with 64 proposals each.
  config.lr.base = 1e-3
  config.lr.schedule = 'multistep(at=(0.2, 0.4, 0.6, 0.8))'
  config.optim.optimizer = 'sgd(momentum=0.9)'
  config.optim.weight_decay = 5e-4
  config.optim.decay_on = 'kernel$'
  config.optim.factors = (
      ('^network/(classifier|svm|refiner)/kernel', 10.0),
      ('^network/(classifier|svm|refiner)/bias', 20.0),
      ('bias$', 2.0),
  )
  return config
