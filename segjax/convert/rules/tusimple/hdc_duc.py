"""HDC and DUC from TuSimple, `ResNet_DUC_HDC_CityScapes`.

It sees RGB from 0 to 255, minus the mean (122.675, 116.669, 104.008).
"""

DEPTHS = (3, 4, 23, 3)
PARTS = (
    ('1x1_reduce', 'conv1'),
    ('3x3', 'conv2'),
    ('1x1_increase', 'conv3'),
    ('1x1_proj', 'shortcut'),
)


def conv_norm(source, target):
  """Returns the rules of a `ConvNormAct`."""
  return (source, f'{target}/conv'), (f'{source}/bn', f'{target}/norm')


RULES = (
    *conv_norm('conv1_1_3x3_s2', 'backbone/stem1'),
    *conv_norm(r'conv1_2_3x3', 'backbone/stem2'),
    *conv_norm(r'conv1_3_3x3', 'backbone/stem3'),
    *(
        rule
        for stage, depth in enumerate(DEPTHS, 1)
        for i in range(depth)
        for theirs, ours in PARTS
        for rule in conv_norm(
            f'conv{stage + 1}_{i + 1}_{theirs}',
            f'backbone/stage{stage}_{i}/{ours}',
        )
    ),
    # The name of the data set stands in the middle.
    (r'fc1_\w+_c(\d)', r'duc/atrous\1'),
)
