"""LinkNet from segmentation_models_pytorch: `Linknet` on ResNets.

Here it is `variant='smp'`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.smp import parts

RULES = (
    *parts.ENDS,
    *(
        rule
        for i, level in enumerate(('c4', 'c3', 'c2', 'c1', 'image'))
        for number, part in enumerate(('narrow', 'enlarge/layer', 'widen'))
        for rule in conv_norm(
            rf'decoder\.blocks\.{i}\.block\.{number}', f'up_{level}/{part}'
        )
    ),
)
