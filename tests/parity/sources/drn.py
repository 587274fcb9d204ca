"""DRN of fyu/drn, with the head of its `segment.py`."""

from flax import linen as nn
import jax

from segjax import backbones
from segjax.convert.rules.drn import drn
from segjax.layers.head import classifier
from segjax.layers.upsample import Upsample
from tests.parity.case import Case
from tests.parity.case import returned


class Segmenter(nn.Module):
  """Backbone, 1x1 classifier, learned upsampling."""

  num_classes: int
  variant: str

  @nn.compact
  def __call__(self, image, train=False):
    backbone = backbones.build(f'drn/{self.variant}', name='backbone')
    feats = backbone(image, train)
    logits = classifier(self.num_classes)(feats['c5'])
    scores = Upsample(8, padding=4, mix=False, name='upsample')(logits)
    log_probs = jax.nn.log_softmax(scores)
    return {'base': feats['c5'], 'logits': logits, 'log_probs': log_probs}


def segmenter(variant):
  return Case(
      lambda spec: Segmenter(spec['num_classes'], variant),
      drn.SEGMENTATION[variant[0]],
      {
          'logits': returned('logits'),
          'base_every8': returned('base', every=8),
          'log_probs': returned('log_probs'),
      },
  )


CASES = {
    f'drn_{variant}': segmenter(variant) for variant in ('c_26', 'd_22', 'd_54')
}
