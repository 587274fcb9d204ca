"""DINOv2 with its authors' heads: `dinov2_vits14_ade20k_linear_head`.

A file of theirs has the head alone, `decode_head`; a file with `backbone` too
is that of a whole system of mmsegmentation.
"""

from segjax.convert.rules import under
from segjax.convert.rules.dinov2 import vit

RULES = (
    *under('backbone', vit.RULES),
    (r'decode_head\.bn', 'norm'),
    (r'decode_head\.conv_seg', 'classifier'),
)
