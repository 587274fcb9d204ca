"""Attention U-Net of LeeJunHyun, and the gate of the authors' code."""

from flax import linen as nn

from segjax import models
from segjax.convert.rules import conv_norm
from segjax.convert.rules.leejunhyun import attention_unet
from segjax.layers.conv import conv
from segjax.models.attention_unet import GridGate
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


class GatedStem(nn.Module):
  """A gate between two convolutions of an image, at strides 1 and 4."""

  features: int
  gating: int
  inner: int

  @nn.compact
  def __call__(self, image, *, train=False):
    skip = conv(self.features, bias=True, name='stem_x')(image)
    gating = conv(self.gating, stride=4, bias=True, name='stem_g')(image)
    return GridGate(self.inner, name='gate')(skip, gating, train)


CASES = {
    'attention_unet': Case(
        lambda spec: models.create(
            'attention_unet',
            spec['num_classes'],
            width=spec['build']['filters'][0],
        ),
        attention_unet.RULES,
        {
            'logits': returned('logits'),
            'att_5': inside('gate3'),
            'att_psi_2': inside('gate0/weights'),
        },
        parts=('gate3', 'gate0/weights'),
    ),
    'attention_gate_grid2d': Case(
        lambda spec: GatedStem(
            spec['build']['in_channels'],
            spec['build']['gating_channels'],
            spec['build']['inter_channels'],
        ),
        (
            (r'(stem_.)', r'\1'),
            *conv_norm(r'gate\.W', 'gate/output'),
            (r'gate\.theta', 'gate/weights/skip'),
            (r'gate\.phi', 'gate/weights/gating'),
            (r'gate\.psi', 'gate/weights/weights'),
        ),
        {'gated': returned(), 'attention': inside('gate/weights')},
        parts=('gate/weights',),
    ),
}
