"""ResNet-38 of itijyou/ademxapp, with its head, and of NVIDIA."""

from flax import linen as nn

from segjax import backbones
from segjax.convert.rules import under
from segjax.convert.rules.nvidia import resnet38 as a2
from segjax.convert.rules.resnet38 import resnet38 as a1
from tests.parity.case import Case
from tests.parity.case import returned


class Segmenter(nn.Module):
  """Backbone and two dilated 3x3 convolutions."""

  num_classes: int
  output_stride: int

  @nn.compact
  def __call__(self, image, train=False):
    feats = backbones.build(
        'resnet38/a1', output_stride=self.output_stride, name='backbone'
    )(image, train)
    x = nn.relu(self.conv(512, 'fuse')(feats['c5']))
    return {**feats, 'logits': self.conv(self.num_classes, 'classifier')(x)}

  def conv(self, features, name):
    return nn.Conv(features, (3, 3), padding=12, kernel_dilation=12, name=name)


CASES = {
    'resnet38': Case(
        lambda spec: Segmenter(
            spec['num_classes'], spec['build']['inv_resolution']
        ),
        (
            ('conv6a', 'fuse'),
            (r'linear\d+', 'classifier'),
            *under('', a1.RULES, 'backbone'),
        ),
        {
            'res4b5_every32': returned('c3', every=32),
            'res5b2_every32': returned('c4', every=32),
            'relu7_every128': returned('c5', every=128),
            'logits': returned('logits'),
        },
    ),
    'resnet38_nv': Case(
        lambda spec: backbones.build(
            'resnet38/a2', output_stride=8 if spec['build']['dilation'] else 32
        ),
        a2.RULES,
        {
            'out_every32': returned('c5', every=32),
            'mod2_every16': returned('c1', every=16),
            'mod4_every32': returned('c3', every=32),
            'mod5_every32': returned('c4', every=32),
        },
    ),
}
