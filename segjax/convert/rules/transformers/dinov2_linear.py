"""DINOv2 from transformers with a batch norm `bn` and a convolution `head`."""

from segjax.convert.rules import under
from segjax.convert.rules.transformers import vit

RULES = (
    *under('backbone', vit.DINOV2),
    ('bn', 'norm'),
    ('head', 'classifier'),
)
