"""Mask R-CNN and Faster R-CNN from torchvision, on ResNets with a pyramid.

The fields of `maskrcnn_resnet50_fpn` are the defaults; those of
`fasterrcnn_resnet50_fpn` are `masks=False`. The published weights of COCO want
`backbone='resnet/50(epsilon=0.0)'`, num_classes=91 and frozen norms. Older
files lack the '.0' inside of names.
"""

from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

# The name of a convolution that may be the first of a sequence, 'conv.0'.
_FIRST = r'(?:\.0)?'

RULES = (
    *under(r'backbone\.body', resnet.RULES, 'backbone'),
    *(
        rule
        for i, level in enumerate(('c2', 'c3', 'c4', 'c5'))
        for rule in (
            (
                rf'backbone\.fpn\.inner_blocks\.{i}{_FIRST}',
                f'fpn/lateral_{level}/conv',
            ),
            (
                rf'backbone\.fpn\.layer_blocks\.{i}{_FIRST}',
                f'fpn/output_{level}/conv',
            ),
        )
    ),
    (r'rpn\.head\.conv(?:\.0\.0)?', 'detector/rpn/conv'),
    (r'rpn\.head\.cls_logits', 'detector/rpn/objectness'),
    (r'rpn\.head\.bbox_pred', 'detector/rpn/deltas'),
    (r'roi_heads\.box_head\.(fc6|fc7)', r'detector/box_head/\1'),
    (r'roi_heads\.box_predictor\.cls_score', 'detector/box_head/classifier'),
    (r'roi_heads\.box_predictor\.bbox_pred', 'detector/box_head/deltas'),
    *(
        (
            rf'roi_heads\.mask_head\.(?:{i}\.0|mask_fcn{i + 1})',
            f'detector/mask_head/conv{i + 1}/conv',
        )
        for i in range(4)
    ),
    (
        r'roi_heads\.mask_predictor\.conv5_mask',
        'detector/mask_head/upsample',
    ),
    (
        r'roi_heads\.mask_predictor\.mask_fcn_logits',
        'detector/mask_head/classifier',
    ),
)
