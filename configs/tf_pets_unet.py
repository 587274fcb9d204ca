r"""U-Net of TensorFlow's tutorial on image segmentation.

https://www.tensorflow.org/tutorials/images/segmentation, which shows curves and
no scores.

  bash launch/local.sh --config=configs/tf_pets_unet.py

On Oxford-IIIT Pet it is the tutorial's recipe: 20 epochs of images of 128 x
128, values from 0 to 1, and a frozen MobileNetV2 that Keras trained on
ImageNet. It has been trained on values from -1 to 1, which
`--config.preprocess.train='resize(128)|flip|normalize(127.5, 127.5)'
--config.preprocess.eval='resize(128)|normalize(127.5, 127.5)'` gives it.

  python -m segjax.convert --source=keras --backbone=mobilenet/v2_keras \
      --checkpoint=model.npz --output=runs/keras
  python -m segjax.main --workdir=runs/pets --config.init_from=runs/keras \
      --config=configs/tf_pets_unet.py:dataset=oxford_iiit_pet

segjax/convert/rules/keras/__init__.py says how Keras writes model.npz. What the
U-Net has no use for, such as the norm of the last block, is listed in the log.
A later version of the tutorial gives pets and background twice the weight of
the border: `--config.class_weights='0.4, 0.4, 0.2'`.
"""

from configs import common

PETS = dict(
    train='resize(128)|flip|normalize(0.0, 255.0)',
    eval='resize(128)|normalize(0.0, 255.0)',
    steps=1140,
    batch=64,
)


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  recipe = {}
  if arg.dataset == 'oxford_iiit_pet' and not arg.small:
    recipe = PETS
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'tf_pets_unet'
  backbone = 'mobilenet/tiny' if arg.small else 'mobilenet/v2_keras'
  config.model = dict(
      backbone=common.backbone(
          arg.backbone or backbone, expanded=True, last_norm=False
      ),
      features=(512, 256, 128, 64),
      frozen=bool(recipe),  # Random weights are not worth keeping.
      upsampling='transposed',
  )
  if arg.small:
    config.model.update(features=(64, 48, 32, 16))
  if recipe:
    config.optim.optimizer = 'adam(eps=1e-7)'
    config.optim.weight_decay = 0.0
    config.optim.factors = (('^backbone/', 0.0),)
    config.lr.base = 1e-3
    config.lr.schedule = 'constant'
  return config
