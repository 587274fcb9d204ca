"""CGNet from mmsegmentation, `cgnet_680x680` and others.

Their field is `slope=0.0`, which matters at the start of training alone. They
see RGB from 0 to 255, minus the mean of Cityscapes.
"""

from segjax.convert.rules import under

BLOCK = (
    (r'conv1x1\.conv', 'reduce/conv'),
    (r'conv1x1\.bn', 'reduce/norm'),
    (r'conv1x1\.activate', 'reduce/act'),
    ('f_loc', 'local'),
    ('f_sur', 'surround'),
    ('bn', 'join/norm'),
    ('activate', 'join/act'),
    ('bottleneck', 'project'),
    (r'f_glo\.fc\.0', 'gate/squeeze'),
    (r'f_glo\.fc\.2', 'gate/excite'),
)

RULES = (
    *(
        rule
        for i in range(3)
        for rule in (
            (rf'backbone\.stem\.{i}\.conv', f'stem{i + 1}/conv'),
            (rf'backbone\.stem\.{i}\.bn', f'stem{i + 1}/norm'),
            (rf'backbone\.stem\.{i}\.activate', f'stem{i + 1}/act'),
        )
    ),
    (r'backbone\.norm_prelu_(\d)\.0', r'join\1/norm'),
    (r'backbone\.norm_prelu_(\d)\.1', r'join\1/act'),
    *under(r'backbone\.level(\d)\.(\d+)', BLOCK, r'stage\1_\2'),
    (r'decode_head\.conv_seg', 'classifier'),
)
