"""DRN for segmentation: files of `segment.py`."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.drn import backbone

HEAD = (('seg', 'classifier'), ('up', 'upsample'))

# The children of the backbone are numbered there, and a number stands for one
# level in DRN-C, for another in DRN-D.
RULES_C = (
    *under('base', (('0', 'stem/conv'), ('1', 'stem/norm')), 'backbone'),
    *under('base', backbone.levels(lambda n: n + 2), 'backbone'),
    *HEAD,
)
RULES_D = (
    *under('base', conv_norm('0', 'stem'), 'backbone'),
    *under('base', backbone.levels(lambda n: n), 'backbone'),
    *HEAD,
)

RULES = {'c_26': RULES_C, 'c_42': RULES_C, 'drn': RULES_D}
