r"""U-Net, https://arxiv.org/abs/1505.04597.

The paper reports 0.0382 Rand error and 0.0611 pixel error on the test slices
of ISBI 2012, whose labels are not public. mmsegmentation reports 69.10 mIoU on
Cityscapes val (160k steps, batches of 16) for the padded network. The recipe
for isbi2012 is the paper's, with unpadded convolutions on tiles of 572 x 572;
the learning rate and the number of steps, which it does not give, are our own.

  bash launch/local.sh --config=configs/unet.py
  python -m segjax.main --workdir=runs/isbi --config=configs/unet.py:isbi2012

Trained from random weights on one core of an AMD EPYC, shared with other work,

  python -m segjax.main --workdir=runs/camvid \
      --config=configs/unet.py:dataset=camvid,small=True

has 42.6 mIoU on CamVid val after 41 minutes of CPU time, and

  python -m segjax.main --workdir=runs/membranes --config.task=binary \
      --config=configs/unet.py:dataset=isbi2012,small=True \
      --config.loss='binary_cross_entropy + dice'

has, after 11 minutes, 0.0837 Rand error (V_rand 0.9163), 0.0810 pixel error and
78.4 mIoU on the 6 slices of val. This Rand error is 1 - V_rand of label maps,
see segjax/evaluation/partitions.py, and cannot be compared with the paper's,
which has another definition and other slices.

A narrow network has 56.4 mIoU on val of `shapes`, 700 steps in 4 CPU minutes,
and its loss still falls then.
"""

from configs import common

# Images and batches are smaller than in `common.SMALL`, because some features
# of U-Net have the size of the image.
SMALL = {
    'camvid': dict(
        train='random_scale(0.5, 0.8)|random_crop(160, 208)|flip|normalize',
        eval='resize(240, 320)|normalize',
        steps=2200,
        batch=4,
    ),
}
PAPER = {
    'isbi2012': dict(
        train='rotate(0.5, 180.0)|elastic(1.0)|random_crop(388, halo=92)'
        '|flip|photometric|normalize(127.5, 64.0)|border_weights',
        batch=1,
    ),
}


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  changes = (SMALL if arg.small else PAPER).get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'unet'
  config.model = dict(
      width=64,
      padded=True,
      last_up=0,
      dropout=0.1,
      aux_level='up1',
      narrow=False,
      upsampling='transposed',
  )
  if arg.small:
    config.model.update(width=8 if arg.dataset == 'shapes' else 16)
  elif arg.dataset in PAPER:
    config.model.update(padded=False, dropout=0.5, aux_level='')
    config.loss = "cross_entropy(divide_by='valid')"
    config.optim.optimizer = 'sgd(momentum=0.99)'
    config.optim.weight_decay = 0.0
    config.lr.base = 1e-4
    config.predict.mode = 'slide'
    config.predict.window = config.predict.stride = (388, 388)
  return config
