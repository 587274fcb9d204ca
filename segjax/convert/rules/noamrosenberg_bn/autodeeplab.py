"""Auto-DeepLab from NoamRosenberg's port, with plain batch norms.

The fields are those of the port with activated ones, but for
`activated=False, affine=True`.
"""

from segjax.convert.rules.noamrosenberg.autodeeplab import encoder
from segjax.convert.rules.noamrosenberg.autodeeplab import head

RULES = (
    *encoder(
        (None, 'conv', 'norm'),
        r'\.op\.0',
        (None, 'depthwise', 'pointwise', 'norm'),
    ),
    *head(r'\.op\.0'),
)
