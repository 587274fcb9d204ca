r"""FD-Net, https://github.com/beargolden/FD-Net.

The authors report F-measure 95.25 % and PSNR 22.84 dB for the binarisation of
historical documents, means over the test sets of DIBCO and H-DIBCO; for a U-Net
they report 89.29 and 21.32.

  bash launch/local.sh --config=configs/fully_dilated.py
  export SEGJAX_DATA_DIR=pages   # Images and masks of two classes.
  python -m segjax.main --workdir=runs/pages \
      --config=configs/fully_dilated.py:folder

On such a folder, loss, optimiser, crop and batch size are the authors'. They
halve the learning rate when the validation score does not improve; here it
follows a cosine.
"""

from configs import common

CHANGES = {
    # Crops and batches are small because all features have the size of the
    # image.
    'shapes': dict(train='flip|random_crop(48, 64)|normalize', batch=8),
    'folder': dict(
        train='random_crop(128, cat_max_ratio=1.0)|flip|normalize', batch=32
    ),
}


def get_config(arg=''):
  """Returns the config; `arg` is read by `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', small=False)
  changes = CHANGES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **changes)
  config.model_name = 'fully_dilated'
  config.model = dict(features=4 if arg.small else 32, rates=(2, 3, 5, 7))
  if arg.dataset == 'folder':
    common.binary(config)
  return config
