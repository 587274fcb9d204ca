"""Hypercolumns as its authors released it, https://github.com/bharath272/sds.

Its trunk is Fast R-CNN's, whose `cls_score` may stand beside it in a file.
Without that, `--config.model.classify=False`.
"""

RULES = (
    (r'conv(\d_\d)', r'backbone/conv\1/conv'),
    (r'(fc6|fc7)', r'hidden/\1'),
    (r'conv_(pool[34])', r'columns/\1'),
    (r'fcfc7', 'columns/fc7'),
    (r'cls_score', 'classifier'),
    (r'bbox_pred', None),  # Boxes are those of the proposals.
)
