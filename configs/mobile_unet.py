r"""MobileUNet, of GeorgeSeif's Semantic-Segmentation-Suite.

https://github.com/GeorgeSeif/Semantic-Segmentation-Suite publishes no scores of
it, and there is no paper.

  bash launch/local.sh --config=configs/mobile_unet.py
  python -m segjax.main --workdir=runs/camvid \
      --config=configs/mobile_unet.py:dataset=camvid

On CamVid it is the Suite's recipe for all its networks: RMSprop, one image a
step, its values divided by 255, and 300 epochs. The Suite has CamVid with 32
classes and crops of 512 x 512 of images of 720 x 960; this copy of CamVid has
11 and is half as large, and so are the crops.

`--config.model.skip=False` leaves the skips out.
"""

from configs import common


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  recipe = (
      common.SUITE_CAMVID if arg.dataset == 'camvid' and not arg.small else {}
  )
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'mobile_unet'
  config.model = dict(
      width=64,
      skip=True,
      batch_at_test=False,
      upsampling='transposed',
  )
  if arg.small:
    config.model.update(width=16)
  if recipe:
    common.rmsprop_of_suite(config)
  return config
