"""Bayesian SegNet from its authors, `bayesian_segnet_train.prototxt`.

Its layers have the names of SegNet's.
"""

from segjax.convert.rules.caffe import segnet

RULES = segnet.RULES
