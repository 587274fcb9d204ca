"""FCN from pytorch-fcn: `fcn32s`, `fcn16s`, `fcn8s`, `fcn8s-atonce`.

Names and fields are those of the authors' files for Caffe.
"""

from segjax.convert.rules.caffe import fcn

RULES = fcn.RULES
