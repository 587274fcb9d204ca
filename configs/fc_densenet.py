r"""FC-DenseNet, https://arxiv.org/abs/1611.09326.

Paper: 66.9 mIoU and 91.5 % accuracy on CamVid test with 103 layers; 65.8 and
90.8 with 67, 58.9 and 88.9 with 56. Ours: 54.4 mIoU on val of `shapes`, a small
network from random weights, 700 steps in 2.4 CPU minutes, by the first command
with `--config.model.dropout=0.2`. Its few channels have none to spare, so that
small networks have no dropout now; this has not been trained yet.

  bash launch/local.sh --config=configs/fc_densenet.py
  python -m segjax.main --workdir=runs/camvid \
      --config=configs/fc_densenet.py:dataset=camvid,variant=103 \
      --config.dataset.eval_split=test

On CamVid it is the authors' recipe: crops without class weights, up to 750
epochs with batches of 3. They stop when val has not risen for 150 epochs, and
then go on with whole images and a batch of 1, which is a second run:

  python -m segjax.main --workdir=runs/camvid_whole \
      --config=configs/fc_densenet.py:dataset=camvid,variant=103 \
      --config.init_from=runs/camvid --config.batch_size=1 \
      --config.preprocess.train='random_crop(360, 480)|flip|normalize' \
      --config.lr.base=1e-4 \
      --config.lr.schedule='exponential(factor=0.995, every=367)'

They test with statistics of the batch; for those of a single image add
`--config.model.batch_at_test=True`.
"""

from configs import common

CAMVID = dict(
    train='random_crop(224)|flip|normalize',
    class_weights='',
    steps=91_500,
    batch=3,
    lr=1e-3,
)
# Dense blocks at the size of the image cost much.
SMALL = dict(train='flip|random_crop(64, 96)|normalize', batch=8)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', variant='', small=False)
  recipe = CAMVID if arg.dataset == 'camvid' and not arg.small else {}
  changes = SMALL if arg.dataset == 'shapes' else recipe
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'fc_densenet'
  config.model = dict(
      variant=arg.variant or ('tiny' if arg.small else '103'),
      dropout=0.2,
      drop_channels=False,
      epsilon=1e-4,
      batch_at_test=False,
      upsampling='transposed',
  )
  if arg.small:
    config.model.dropout = 0.0  # Features are too few to drop some.
  if recipe:
    config.optim.optimizer = 'rmsprop'
    # The authors add 1e-4 times the sum of squares to the loss.
    config.optim.weight_decay = 2e-4
    config.optim.decay_on = 'kernel|scale'
    config.lr.base = recipe['lr']
    # Once an epoch, of 122 steps.
    config.lr.schedule = 'exponential(factor=0.995, every=122)'
  return config
