"""Axial attention by the authors of Axial-DeepLab, and their classifier."""

import functools

from flax import linen as nn

from segjax import backbones
from segjax.convert.rules import csrhddlam
from segjax.convert.rules.csrhddlam import axial_resnet
from segjax.layers.axial_attention import AxialAttention
from segjax.layers.axial_attention import Block
from tests.parity.case import Case
from tests.parity.case import returned


class Parts(nn.Module):
  """Attention along columns, along rows with a stride, and a block."""

  span: int

  @nn.compact
  def __call__(self, x, *, train=False):
    attention = functools.partial(AxialAttention, span=self.span)
    height = attention(16, 32, name='height')(x.swapaxes(1, 2), train)
    width = attention(24, 48, name='width_s2')(x, train)
    block = Block(
        'axial', 64, 32, 16, 32, 2, average=True, span=self.span, name='block'
    )
    return {
        'height': height.swapaxes(1, 2),
        'width_s2': nn.avg_pool(width, (2, 2), (2, 2)),
        # What it reads is not activated there, and what it returns is.
        'block': nn.relu(block.of_activated(x, train)),
    }


CASES = {
    'axial_attention_block': Case(
        lambda spec: Parts(spec['build']['kernel_size']),
        (
            *csrhddlam.attention('(height|width_s2)', r'\1'),
            *csrhddlam.block('block', 'block'),
            *csrhddlam.JOINTS,
        ),
        {name: returned(name) for name in ('height', 'width_s2', 'block')},
    ),
    'axial_resnet26_s': Case(
        lambda spec: backbones.build(
            'axial_resnet/26_s', num_classes=spec['num_classes']
        ),
        axial_resnet.RULES,
        {
            'logits': returned('class_logits'),
            'layer1_first4': returned('c2', first=4),
            'layer4_first64': returned('c5', first=64),
        },
    ),
}
