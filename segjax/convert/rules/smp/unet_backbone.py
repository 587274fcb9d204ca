"""U-Net from segmentation_models_pytorch: `Unet` on ResNets, without scSE."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

RULES = (
    *under('encoder', resnet.RULES, 'backbone'),
    *(
        rule
        for block in range(5)
        for rule in conv_norm(
            rf'decoder\.blocks\.{block}\.conv(\d)', rf'up{4 - block}/conv\1'
        )
    ),
    (r'segmentation_head\.0', 'classifier'),
)
