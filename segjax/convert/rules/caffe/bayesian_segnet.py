"""Bayesian SegNet from its authors, `bayesian_segnet_train.prototxt`.

Named as SegNet; dropout has no weights.
"""

from segjax.convert.rules.caffe import segnet

RULES = segnet.RULES
