r"""Encoder-Decoder, of GeorgeSeif's Semantic-Segmentation-Suite.

https://github.com/GeorgeSeif/Semantic-Segmentation-Suite publishes no scores of
it, and there is no paper. Ours: 49.9 mIoU on val of `shapes`, a narrow network
from random weights, 700 steps in 2 CPU minutes; its loss still falls then.

  bash launch/local.sh --config=configs/encoder_decoder.py
  python -m segjax.main --workdir=runs/camvid \
      --config=configs/encoder_decoder.py:dataset=camvid

On CamVid it is the Suite's recipe for all its networks: RMSprop, one image a
step, its values divided by 255, and 300 epochs. The Suite has CamVid with 32
classes and crops of 512 x 512 of images of 720 x 960; this copy of CamVid has
11 and is half as large, and so are the crops.

`--config.model.skip=False` leaves the skips out.
"""

from configs import common

# Convolutions at the size of the image cost much.
SMALL = dict(train='flip|random_crop(64, 96)|normalize', batch=8)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  recipe = (
      common.SUITE_CAMVID if arg.dataset == 'camvid' and not arg.small else {}
  )
  changes = SMALL if arg.dataset == 'shapes' else recipe
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'encoder_decoder'
  config.model = dict(
      width=64,
      skip=True,
      batch_at_test=False,
      upsampling='transposed',
  )
  if arg.small:
    config.model.update(width=12)
  if recipe:
    common.rmsprop_of_suite(config)
  return config
