"""SegNeXt from mmsegmentation: `segnext_mscan-t` to `segnext_mscan-l`."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import mscan

RULES = (
    *under('backbone', mscan.RULES),
    *conv_norm(r'decode_head\.squeeze', 'squeeze', 'conv', 'gn'),
    (r'decode_head\.hamburger\.ham_in\.conv', 'hamburger/input'),
    *conv_norm(
        r'decode_head\.hamburger\.ham_out', 'hamburger/output', 'conv', 'gn'
    ),
    *conv_norm(r'decode_head\.align', 'align', 'conv', 'gn'),
    *heads.RULES,
)
