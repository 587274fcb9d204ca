r"""ESPNet, https://arxiv.org/abs/1803.06815.

Its authors report 60.3 mIoU on Cityscapes test, 82.2 by category, with 0.364
million parameters. Paper: 55.64 on CamVid test. Ours: 71.9 on val of `shapes`,
fewer pyramids from random weights, 700 steps in 2.6 CPU minutes, by the first
command.

  bash launch/local.sh --config=configs/espnet.py
  python -m segjax.main --workdir=runs/espnet_c \
      --config=configs/espnet.py:dataset=cityscapes,decoder=False
  python -m segjax.main --workdir=runs/espnet --config.init_from=runs/espnet_c \
      --config=configs/espnet.py:dataset=cityscapes

The encoder is trained first, as ESPNet-C against labels at stride 8, and then
all of ESPNet from its weights: 300 epochs each, in the authors' code. An epoch
there goes over the images five times, each time at another size, and so does
this recipe. There the three smaller sizes have 2 to 4 images more in a batch,
images are turned upside down in the place of mirrored, and ignored pixels are a
class; here they do not count.
"""

from configs import common

# The authors divide by the deviation, and then by 255.
NORMALIZE = (
    'normalize((73.1584, 82.9089, 72.3923), (11453.3, 11769.0, 11556.4))|bgr'
)
SIZES = ', '.join(
    [
        'resize(768, 1536)|cut_border(pixels=100)',
        'resize(720, 1280)|cut_border(pixels=100)',
        'resize(256, 512)',
        'resize(384, 768)|cut_border(pixels=32)',
        'resize(512, 1024)|cut_border(pixels=32)',
    ]
)
RECIPES = {
    'cityscapes': dict(
        train=f'in_turn({SIZES})|flip|{NORMALIZE}',
        eval=f'resize(512, 1024)|{NORMALIZE}',
        class_weights='inverse_log(offset=1.1)',
    ),
}
IMAGES = 300 * 5 * 2975


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', decoder=True, small=False)
  recipe = {} if arg.small else dict(RECIPES.get(arg.dataset, {}))
  if recipe:
    recipe['batch'] = 6 if arg.decoder else 12
    recipe['steps'] = IMAGES // recipe['batch']
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'espnet'
  config.model = dict(
      depths=(2, 8),
      features=(16, 64, 128),
      decoder=arg.decoder,
      upsampling='transposed',
  )
  config.system_loss.coarse = not arg.decoder
  if arg.small:
    config.model.update(depths=(1, 2))
  else:
    config.optim.optimizer = 'adam'
    config.lr.base = 5e-4
    config.lr.schedule = 'multistep(at=(0.33333, 0.66667), factor=0.5)'
  return config
