"""U-Net++ from segmentation_models_pytorch: `UnetPlusPlus` on ResNets."""

from segjax.convert.rules.smp import parts

RULES = (
    *parts.ENDS,
    # A node there is x_DEPTH_LAYER: layers go from stride 16 to stride 2, and
    # in each the greatest depth reads the backbone.
    *(
        rule
        for layer in range(4)
        for depth in range(layer + 1)
        for rule in parts.block(
            rf'decoder\.blocks\.x_{depth}_{layer}',
            f'node{4 - layer}_{layer - depth + 1}',
        )
    ),
    *parts.last_block(r'decoder\.blocks\.x_0_4', 'up0'),
)
