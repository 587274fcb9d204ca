"""ResNet-38, Model A1, for segmentation: `fcrna_model_a1`."""

from segjax.convert.rules import under
from segjax.convert.rules.resnet38 import backbone

RULES = (
    ('conv6a', 'fuse'),
    (r'linear\d+', 'classifier'),
    *under('', backbone.RULES, 'backbone'),
)
