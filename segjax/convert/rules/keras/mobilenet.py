"""MobileNetV2 from Keras, for 'mobilenet/v2_keras'."""


def layer(source, target):
  """Returns the rules of a `ConvNormAct`."""
  return (source, f'{target}/conv'), (f'{source}_BN', f'{target}/norm')


RULES = (
    ('Conv1', 'stem/conv'),
    ('bn_Conv1', 'stem/norm'),
    *(
        rule
        for i, block in enumerate(
            ['expanded_conv', *(f'block_{i}' for i in range(1, 17))], 1
        )
        for part in ('expand', 'depthwise', 'project')
        for rule in layer(f'{block}_{part}', f'block{i}/{part}')
    ),
    ('Conv_1', 'last/conv'),
    ('Conv_1_bn', 'last/norm'),
    ('predictions', 'classifier'),
)
