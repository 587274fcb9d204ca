"""DeepLabv3+ from TensorFlow's DeepLab, on Xception."""

from segjax.convert.rules import under
from segjax.convert.rules.tf import conv_norm
from segjax.convert.rules.tf import separable
from segjax.convert.rules.tf import xception

RULES = (
    # The scopes of the backbone lie beside those of the head.
    *under('', xception.RULES, 'backbone'),
    *conv_norm('image_pooling', 'aspp/image'),
    *conv_norm('aspp0', 'aspp/point'),
    *separable(r'aspp(\d)', r'aspp/atrous\1'),
    *conv_norm('concat_projection', 'aspp/project'),
    *conv_norm('decoder/feature_projection0', 'low'),
    *separable('decoder/decoder_conv0', 'refine1'),
    *separable('decoder/decoder_conv1', 'refine2'),
    ('logits/semantic', 'classifier'),
)
