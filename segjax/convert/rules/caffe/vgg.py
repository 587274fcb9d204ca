"""VGG by the layers' names of Caffe: `conv1_1.weight` to `fc7.bias`.

It sees BGR from 0 to 255, minus the mean.
"""

RULES = (
    (r'conv(\d_\d)', r'conv\1/conv'),
    (r'fc([67])', r'fc\1/conv'),
    ('fc8', 'classifier'),
)
