"""CRF-RNN from crfasrnn_pytorch: `CrfRnnNet`.

It sees BGR from 0 to 255, minus the mean.
"""

from segjax.convert.rules.caffe import fcn

RULES = (
    (r'crfrnn\.spatial_ker_weights', 'crf/spatial'),
    (r'crfrnn\.bilateral_ker_weights', 'crf/bilateral'),
    (r'crfrnn\.compatibility_matrix', 'crf/compatibility'),
    *fcn.RULES,
)
