"""The U-Net of TensorFlow's tutorial, on 'mobilenet/v2_keras'.

Keras numbers layers by the order in which a process makes them: the network has
to be the first one that it makes, else names have higher numbers.
"""

from segjax.convert.rules import under
from segjax.convert.rules.keras import mobilenet

RULES = (
    *(
        rule
        for i, number in enumerate(('', '_1', '_2', '_3'), 1)
        for rule in (
            (f'sequential{number}/conv2d_transpose{number}', f'up{i}/conv'),
            (f'sequential{number}/batch_normalization{number}', f'up{i}/norm'),
        )
    ),
    ('conv2d_transpose_4', 'classifier'),
    *under('', mobilenet.RULES, 'backbone'),
)
