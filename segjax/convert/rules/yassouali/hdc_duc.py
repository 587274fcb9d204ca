"""DeepLab with HDC and DUC from pytorch-segmentation, `DeepLab_DUC_HDC`.

The docstring of segjax/models/hdc_duc.py has its fields.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.yassouali import resnet_rules

# What DeepLabv3+ has too.
ASPP = (
    *conv_norm(r'ASSP\.aspp1', 'aspp/point'),
    *(
        rule
        for i in range(1, 6)
        for rule in conv_norm(rf'ASSP\.aspp{i + 1}', f'aspp/atrous{i}')
    ),
    *conv_norm(r'ASSP\.avg_pool', 'aspp/image', '1', '2'),
    *conv_norm('ASSP', 'aspp/project', 'conv1', 'bn1'),
)
DECODER = (
    *conv_norm('decoder', 'low', 'conv1', 'bn1'),
    *conv_norm(r'decoder\.output', 'refine1', '0', '1'),
    *conv_norm(r'decoder\.output', 'refine2', '3', '4'),
    (r'decoder\.output\.7', 'classifier'),
)

RULES = (
    *resnet_rules('backbone', 'layer0'),
    *under(
        '',
        (
            *ASPP,
            *conv_norm(r'decoder\.DUC', 'duc_features/cells', 'conv', 'bn'),
            *DECODER,
            *conv_norm('DUC_out', 'duc_scores/cells', 'conv', 'bn'),
        ),
        'decoder',
    ),
)
