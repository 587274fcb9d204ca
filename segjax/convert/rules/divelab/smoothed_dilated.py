"""Smoothed dilated convolutions from divelab, with DeepLabv2's layers.

The option `smoothing` of the backbone is 'interaction' for their `smooth_GI`
and 'separable' for `smooth_SSC`. It sees BGR from 0 to 255, minus the mean
(122.675, 116.669, 104.008).
"""

PARTS = (
    ('branch2a', 'conv1'),
    ('branch2b', 'conv2'),
    ('branch2c', 'conv3'),
    ('branch1', 'shortcut'),
)
# Names of the blocks of each stage.
STAGES = (
    ('2a', '2b', '2c'),
    ('3a', *(f'3b{i}' for i in range(1, 4))),
    ('4a', *(f'4b{i}' for i in range(1, 23))),
    ('5a', '5b', '5c'),
)


def _block(source, target):
  """Returns the rules of a block."""
  return (
      # Its name has the separator of TensorFlow, or of PyTorch.
      (rf'res{source}_branch2b[/.]fix_w', f'{target}/conv2/conv/smoothing'),
      *(
          rule
          for theirs, ours in PARTS
          for rule in (
              (f'res{source}_{theirs}', f'{target}/{ours}/conv'),
              (f'bn{source}_{theirs}', f'{target}/{ours}/norm'),
          )
      ),
  )


RULES = (
    (r'global_step|.*/Momentum', None),
    ('conv1', 'backbone/stem/conv'),
    ('bn_conv1', 'backbone/stem/norm'),
    *(
        rule
        for stage, blocks in enumerate(STAGES, 1)
        for i, block in enumerate(blocks)
        for rule in _block(block, f'backbone/stage{stage}_{i}')
    ),
    (r'fc1_voc12_c(\d)', r'aspp/atrous\1'),
)
