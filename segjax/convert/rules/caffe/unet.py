"""U-Net as its authors released it, `phseg_v5` and others.

Its fields: `padded=False, dropout=0.5, last_up=128, aux_level=''`.
"""

RULES = (
    (r'conv_d(\d)a-b', r'down\1/conv1/conv'),
    (r'conv_d(\d)b-c', r'down\1/conv2/conv'),
    (r'upconv_.*_u(\d)a', r'up\1/up'),
    (r'conv_u(\d)b-c', r'up\1/convs/conv1/conv'),
    (r'conv_u(\d)c-d', r'up\1/convs/conv2/conv'),
    ('conv_u0d-score', 'classifier'),
)
