"""OCRNet from HRNet-Semantic-Segmentation, branch HRNet-OCR.

Checkpoints of its training hold the loss and its class weights too.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.hrnet import backbone

OBJECT = r'ocr_distri_head\.object_context_block'
# The heads, which NVIDIA's code has too. Its norms are the first of two modules
# where these are one.
HEADS = (
    *conv_norm('conv3x3_ocr', 'context/pixels', '0', r'1(?:\.0)?'),
    *(
        rule
        for source, name in (('pixel', 'query'), ('object', 'key'))
        for i, (conv, norm) in enumerate((('0', r'1\.0'), ('2', r'3\.0')))
        for rule in conv_norm(
            rf'{OBJECT}\.f_{source}',
            f'context/attention/{name}/conv{i}',
            conv,
            norm,
        )
    ),
    *conv_norm(
        rf'{OBJECT}\.f_down', 'context/attention/value/conv0', '0', r'1\.0'
    ),
    *conv_norm(rf'{OBJECT}\.f_up', 'context/project', '0', r'1\.0'),
    *conv_norm(
        r'ocr_distri_head\.conv_bn_dropout', 'context/fuse', '0', r'1\.0'
    ),
    ('cls_head', 'classifier'),
    *conv_norm('aux_head', 'coarse/conv', '0', r'1(?:\.0)?'),
    (r'aux_head\.[23]', 'coarse/classifier'),
)

NETWORK = (*HEADS, *under('', backbone.RULES, 'backbone'))

RULES = (
    *NETWORK,
    *((rf'model\.{pattern}', target) for pattern, target in NETWORK),
    (r'loss\..*', None),
)
