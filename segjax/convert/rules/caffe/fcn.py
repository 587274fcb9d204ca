"""FCN by its authors: `fcn32s-heavy-pascal`, `fcn16s-`, `fcn8s-` and others.

Fields: `stride=32`, `stride=16` or `stride=8`; those trained at once have
`scales=(0.01, 0.0001)`. They see BGR from 0 to 255, minus the mean.
"""

from segjax.convert.rules import under
from segjax.convert.rules.caffe import vgg

RULES = (
    *under('', vgg.RULES, 'backbone'),
    ('score_fr', 'head/score_fc7'),
    ('score_pool4', 'head/score_c4'),
    ('score_pool3', 'head/score_c3'),
    ('upscore2', 'head/upsample_fc7'),
    ('upscore_pool4', 'head/upsample_c4'),
    (r'upscore(?:8|16)?', 'head/upsample'),
)
