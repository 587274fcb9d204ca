"""SegFormer from segmentation_models_pytorch: `Segformer` on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

RULES = (
    *under('encoder', resnet.RULES, 'backbone'),
    *(
        (rf'decoder\.mlp_stage\.{i}\.linear', f'project_{level}')
        for i, level in enumerate(('c5', 'c4', 'c3', 'c2', 'c1'))
    ),
    *conv_norm(r'decoder\.fuse_stage', 'fuse'),
    (r'segmentation_head\.0', 'classifier'),
)
