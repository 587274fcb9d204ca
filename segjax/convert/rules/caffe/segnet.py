"""SegNet from its authors, `segnet_train.prototxt`.

Its decoder counts convolutions down within a stage. For batch norm see
`segnet_basic`.
"""

DEPTHS = (2, 2, 3, 3, 3)  # Of VGG16.

RULES = (
    (r'conv(\d_\d)', r'backbone/conv\1/conv'),
    (r'conv(\d_\d)_bn', r'backbone/conv\1/norm'),
    ('conv1_1_D', 'decoder/classifier'),
    *(
        (rf'conv{stage}_{i}_D{suffix}', f'decoder/conv{stage}_{down}/{part}')
        for stage, depth in enumerate(DEPTHS, 1)
        for down, i in enumerate(range(depth, 0, -1), 1)
        for suffix, part in (('', 'conv'), ('_bn', 'norm'))
    ),
)
