"""PointRend on Semantic FPN of its authors, a project of detectron2.

Their ResNets stride in the first convolution of a block and see BGR from 0 to
255 minus the mean; the branches have group norm. So weights for Cityscapes want
`backbone='resnet/101_caffe(ceil_pool=False)'`, beside the fields of
configs/pointrend.py:dataset=cityscapes, and `--config.preprocess.eval=
'normalize((123.675, 116.28, 103.53), 1.0)|bgr'`.
"""

from segjax.convert.rules.detectron2 import conv_norm


def _level(number):
  """Returns the rules of a stage, and of a level with its branch."""
  stage, level = f'stage{number - 1}', f'c{number}'
  block = rf'backbone\.bottom_up\.res{number}\.(\d+)'
  branch = rf'sem_seg_head\.coarse_sem_seg_head\.p{number}'
  return (
      *conv_norm(rf'{block}\.(conv\d)', rf'backbone/{stage}_\1/\2'),
      *conv_norm(rf'{block}\.shortcut', rf'backbone/{stage}_\1/shortcut'),
      (rf'backbone\.fpn_lateral{number}', f'fpn/lateral_{level}/conv'),
      (rf'backbone\.fpn_output{number}', f'fpn/output_{level}/conv'),
      # Between two convolutions is an enlarging.
      *conv_norm(rf'{branch}\.0', f'{level}_conv1'),
      *conv_norm(rf'{branch}\.2', f'{level}_conv2'),
      *conv_norm(rf'{branch}\.4', f'{level}_conv3'),
  )


RULES = (
    ('pixel_(?:mean|std)', None),
    *conv_norm(r'backbone\.bottom_up\.stem\.conv1', 'backbone/stem'),
    *sum(map(_level, (2, 3, 4, 5)), ()),
    (r'sem_seg_head\.coarse_sem_seg_head\.predictor', 'classifier'),
    (r'sem_seg_head\.point_head\.(fc\d)', r'points/\1'),
    (r'sem_seg_head\.point_head\.predictor', 'points/classifier'),
)
