"""FC-DenseNet from pytorch_tiramisu: `FCDenseNet57`, `67` and `103`.

Their fields: `epsilon=1e-5, drop_channels=True`, and `variant='56'`, '67' or
'103'.
"""

LAYER = r'layers\.(\d+)\.(norm|conv)'

RULES = (
    ('firstconv', 'stem'),
    (rf'denseBlocksDown\.(\d+)\.{LAYER}', r'down\1/layer\2/\3'),
    (r'transDownBlocks\.(\d+)\.(norm|conv)', r'transition_down\1/\2'),
    (rf'bottleneck\.bottleneck\.{LAYER}', r'bottleneck/layer\1/\2'),
    (r'transUpBlocks\.(\d+)\.convTrans', r'transition_up\1'),
    (rf'denseBlocksUp\.(\d+)\.{LAYER}', r'up\1/layer\2/\3'),
    ('finalConv', 'classifier'),
)
