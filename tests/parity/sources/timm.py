"""ResNet of timm 1.0.31, https://github.com/huggingface/pytorch-image-models."""

from segjax import backbones
from segjax.convert import rules
from tests.parity.case import Case
from tests.parity.case import returned

CASES = {
    'timm_resnet50d': Case(
        lambda spec: backbones.build(
            'resnet/50_v1d', num_classes=spec['num_classes']
        ),
        rules.find('timm', 'resnet', 'resnet/50_v1d'),
        {
            'stem_every8': returned('c1', every=8),
            **{
                f'layer{level - 1}_every32': returned(f'c{level}', every=32)
                for level in (2, 3, 4, 5)
            },
            'class_logits': returned('class_logits'),
        },
    ),
}
