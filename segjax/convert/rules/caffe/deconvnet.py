"""DeconvNet from its authors, `DeconvNet_inference_deploy.prototxt`.

A transposed convolution has its weight as PyTorch does, [in, out, h, w]. For
batch norm see `segnet_basic`.
"""

RULES = (
    (r'conv(\d_\d)', r'backbone/conv\1/conv'),
    (r'bn(\d_\d)', r'backbone/conv\1/norm'),
    ('fc6', 'hidden1/conv'),
    ('bnfc6', 'hidden1/norm'),
    ('fc7', 'hidden2/conv'),
    ('bnfc7', 'hidden2/norm'),
    ('fc6-deconv', 'spread/conv'),
    ('fc6-deconv-bn', 'spread/norm'),
    (r'deconv(\d_\d)', r'decoder/conv\1/conv'),
    (r'debn(\d_\d)', r'decoder/conv\1/norm'),
    ('seg-score-voc', 'classifier'),
)
