"""SegNet-Basic from its authors, `segnet_basic_train.prototxt`.

Their batch norm is folded after training: scale and shift are `conv1_bn.weight`
and `.bias` with a `.running_mean` of 0 and a `.running_var` of 1.
"""

RULES = (
    (r'conv(\d)', r'encode\1/conv'),
    (r'conv(\d)_bn', r'encode\1/norm'),
    (r'conv_decode(\d)', r'decode\1/conv'),
    (r'conv_decode(\d)_bn', r'decode\1/norm'),
    ('conv_classifier', 'classifier'),
)
