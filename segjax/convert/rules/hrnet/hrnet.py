"""HRNet from HRNet-Semantic-Segmentation, branch pytorch-v1.1.

Checkpoints of its training hold the loss and its class weights too.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.hrnet import backbone

NETWORK = (
    *under('', backbone.RULES, 'backbone'),
    *conv_norm('last_layer', 'fuse'),
    (r'last_layer\.3', 'classifier'),
)

RULES = (
    *NETWORK,
    *((rf'model\.{pattern}', target) for pattern, target in NETWORK),
    (r'loss\..*', None),
)
