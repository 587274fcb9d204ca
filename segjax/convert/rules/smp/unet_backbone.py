"""U-Net from segmentation_models_pytorch: `Unet` on ResNets.

With `decoder_attention_type='scse'` there it is `scse='sum'` here.
"""

from segjax.convert.rules.smp import parts

RULES = (
    *parts.ENDS,
    *(
        rule
        for i in range(4)
        for rule in parts.block(rf'decoder\.blocks\.{i}', f'up{4 - i}')
    ),
    *parts.last_block(r'decoder\.blocks\.4', 'up0'),
)
