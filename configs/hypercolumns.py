r"""Hypercolumns, https://arxiv.org/abs/1411.5752.

The paper improves the mean AP^r of objects on VOC 2012 val, at an overlap of
0.5, from 49.7 to 60.0 (arXiv). Here masks are pasted into a label map, which is
scored by mIoU.

Proposals are files beside the images, see segjax/data/datasets/README.md;
`shapes` draws its own. On VOC only the classifiers of hypercolumns are trained,
on features of Fast R-CNN's VGG-16, whose weights `config.init_from` must
provide.

  bash launch/local.sh --config=configs/hypercolumns.py
  python -m segjax.main --workdir=runs/voc --config.init_from=runs/fast_rcnn \
      --config=configs/hypercolumns.py:dataset=voc2012
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  config = common.base(arg.dataset, small=arg.small)
  config.dataset.options.proposals = 12 if arg.small else 64
  # Boxes with fewer pixels have a smaller weight in the loss.
  config.task = 'proposals(full_area=50176)'
  config.model_name = 'hypercolumns'
  config.model = dict(
      backbone=arg.backbone or ('vgg/tiny' if arg.small else 'vgg/16'),
      grid=5,
      size=50,
      bins=7,
      hidden=4096,
      dropout=0.5,
      scales=(0.0027, 0.063),
      classify=True,
      max_overlap=0.3,
      min_score=0.0,
      min_probability=0.4,
  )
  if arg.small:
    config.model.update(
        grid=3, size=24, hidden=128, dropout=0.2, scales=(1.0, 1.0)
    )
    config.preprocess.train += '|label_proposals'
    return config

  resize = "resize(600, mode='short')|"
  normalize = 'bgr|normalize((102.9801, 115.946, 122.7717), 1.0)'
  crop = 'random_crop(1000, cat_max_ratio=1.0)|'
  config.preprocess.train = f'{resize}flip|{crop}{normalize}|label_proposals'
  config.preprocess.eval = resize + normalize
  config.total_steps = 10_000
  config.batch_size = 20
  config.optim.accumulate = 20
  # Equals a learning rate of 1e-3 for a loss that is summed over 50x50 pixels.
  config.lr.base = 2.5
  config.lr.schedule = 'constant'
  config.optim.optimizer = 'sgd(momentum=0.9)'
  config.optim.weight_decay = 4e-7
  config.optim.decay_on = 'kernel$'
  config.optim.factors = (
      ('^(backbone|hidden|classifier)/', 0.0),
      ('^columns/fc7/kernel', 0.1),
      ('^columns/fc7/bias', 0.2),
      ('bias$', 2.0),
  )
  return config
