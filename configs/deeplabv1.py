r"""DeepLabv1, https://arxiv.org/abs/1412.7062: LargeFOV, and with MSc.

  bash launch/local.sh --config=configs/deeplabv1.py
  python -m segjax.main --workdir=runs/largefov \
      --config=configs/deeplabv1.py:dataset=voc2012 --config.init_from=VGG
  python -m segjax.main --workdir=runs/msc \
      --config=configs/deeplabv1.py:dataset=voc2012,multi_scale=True \
      --config.init_from=runs/largefov
  python -m segjax.tools.crf_search --workdir=runs/msc \
      --grid='dense_crf(iterations=10, bilateral=(
          [3.0, 4.0, 5.0], [40.0, 60.0, 80.0], [3.0, 5.0, 9.0]))'

VGG is a workdir that `segjax.convert --backbone=vgg/16` makes from a classifier
that was trained on BGR from 0 to 255, minus the mean. The paper reports 71.6
mIoU on the test set of VOC 2012 (abstract), with MSc and CRF.

Trained from random weights in 800 steps, 6 minutes on a core of an AMD EPYC
that was shared with other work,

  python -m segjax.main --workdir=runs/camvid --config.total_steps=800 \
      --config.lr.warmup_steps=40 \
      --config=configs/deeplabv1.py:dataset=camvid,small=True

has 35.9 mIoU on CamVid val, and accuracy 79.2. A search on 12 of its images,

  python -m segjax.tools.crf_search --workdir=runs/camvid --limit=12 \
      --grid='dense_crf(gaussian=(1.0, 3.0), bilateral=(
          [1.0, 3.0], [20.0, 60.0], [4.0, 10.0]))'

finds a CRF with which they are 36.3 and 80.3:

  --config.predict.refine='dense_crf(
      gaussian=(1.0, 3.0), bilateral=(1.0, 60.0, 4.0))'
"""

from configs import common


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(
      arg, dataset='shapes', backbone='', multi_scale=False, small=False
  )
  changes = {}
  if arg.small:
    changes = dict(lr=1e-3, batch=8)
  elif arg.dataset == 'voc2012':
    changes = dict(common.BGR_CROPS, steps=6000, batch=20)
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'deeplabv1'
  config.model = dict(
      backbone=arg.backbone or ('vgg/tiny' if arg.small else 'vgg/16'),
      hidden=64 if arg.small else 1024,
      kernel=3,
      rate=4 if arg.small else 12,
      multi_scale=arg.multi_scale,
      dropout=0.1 if arg.small else 0.5,
  )
  if not arg.small:
    groups = dict(new='^classifier/')
    if arg.multi_scale:  # Only the branches are trained.
      groups = dict(frozen='^(backbone|classifier)/')
    common.caffe_sgd(config, 1e-3, 'multistep(at=(0.3333, 0.6667))', **groups)
  return config
