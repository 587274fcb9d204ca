"""ParseNet on DeepLab-LargeFOV, for Caffe.

The authors' files of its layers are not public any more: `fc7_norm`,
`pool6_norm` and `fc8` are our names for the two scales and the classifier. It
sees BGR from 0 to 255, minus the mean.
"""

from segjax.convert.rules import under
from segjax.convert.rules.caffe import vgg

RULES = (
    ('fc7_norm', 'local_norm'),
    ('pool6_norm', 'global_norm'),
    ('fc8', 'classifier'),
    *under('', vgg.RULES, 'backbone'),
)
