"""Networks that were published for Caffe, rebuilt in PyTorch."""

from flax import linen as nn

from segjax import models
from segjax.convert.rules.caffe import deeplabv1
from segjax.convert.rules.caffe import dilatednet
from segjax.convert.rules.caffe import parsenet
from segjax.layers.upsample import BilinearUpsample
from segjax.models.dilatednet import Context
from segjax.models.dilatednet import Model as DilatedNet
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


class WithoutMargin(DilatedNet):
  """Takes an image with its halo, and returns scores at stride 8."""

  @nn.compact
  def __call__(self, image, train=False):
    return {'logits': self.scores(image, train)}


class ContextAlone(nn.Module):
  """A context module on scores in place of an image."""

  kind: str
  rates: tuple[int, ...] = DilatedNet.rates
  upsample: bool = False

  @nn.compact
  def __call__(self, x, train=False):
    x = Context(self.kind, self.rates, name='context')(x)
    if self.upsample:
      x = BilinearUpsample(8, padding=4, mix=False, name='upsample')(x)
    return {'logits': x}


CASES = {
    'deeplabv1_largefov': Case(
        lambda spec: models.create('deeplabv1', spec['num_classes']),
        deeplabv1.RULES,
        {
            'logits': inside('classifier'),
            'logits_up8': returned('logits'),
            'pool5a': inside('backbone', 'c5', every=8),
            'fc7': inside('backbone', 'fc7', every=16),
        },
        parts=('backbone', 'classifier'),
    ),
    'parsenet': Case(
        lambda spec: models.create('parsenet', spec['num_classes']),
        parsenet.RULES,
        {
            'logits': inside('classifier'),
            'logits_up8': returned('logits'),
            'pool6_norm': inside('global_norm'),
            'fc7_norm': inside('local_norm', every=16),
        },
        parts=('classifier', 'global_norm', 'local_norm'),
    ),
    'dilatednet': Case(
        lambda spec: WithoutMargin(spec['num_classes']),
        dilatednet.RULES,
        {'logits': returned('logits'), 'frontend': inside('classifier')},
        parts=('classifier',),
    ),
    'dilatednet_ctx_large': Case(
        lambda spec: ContextAlone('large'),
        dilatednet.RULES,
        {'logits': returned('logits')},
    ),
    'dilatednet_ctx10': Case(
        lambda spec: ContextAlone(
            'basic', (*DilatedNet.rates, 32, 64), upsample=True
        ),
        dilatednet.RULES,
        {
            'ctx_final': inside('context'),
            'ctx_conv7_1': lambda out, parts: nn.relu(
                parts['context/conv8'][:, ::2, ::2, ::2]
            ),
            'logits': lambda out, parts: out['logits'][:, 3::8, 5::8],
        },
        parts=('context', 'context/conv8'),
    ),
}
