"""SegFix from openseg.pytorch, `segfix_hrnet`.

Weights of a build with activated batch norms, which have no third part in the
names of the heads' norms, want `activated=True`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.hrnet import backbone

RULES = (
    *under('backbone', backbone.RULES),
    *(
        rule
        for source, target in (('mask', 'outline'), ('dir', 'direction'))
        for rule in (
            *conv_norm(f'{source}_head', f'{target}/conv', '0', r'1(?:\.0)?'),
            (rf'{source}_head\.2', f'{target}/classifier'),
        )
    ),
)
