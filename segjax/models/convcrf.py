"""ConvCRF, https://arxiv.org/abs/1805.04777.

The pairs of this CRF lie in a window. So mean-field inference and its gradients
are exact, computed by convolutions with a kernel for each pixel. The CRF was
checked against MarvinTeichmann/ConvCRF. That repository has no network for the
unaries; here it is a dilated ResNet with a classifier.

Train with `iterations=0`, which leaves out the CRF, first. The CRF compares the
colours of the network's input times `image_std`, the divisor of `normalize`, so
that its width is in colours from 0 to 255.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.convcrf import ConvCRF
from segjax.layers.head import segmentation_outputs


class Model(nn.Module):
  """Dilated backbone, classifier, upsampling, CRF."""

  num_classes: int
  backbone: str = 'resnet/101(output_stride=8)'
  dropout: float = 0.1
  window: int = 11  # Odd number of cells along a side of the window.
  blur: int = 4  # Pixels along a side of a cell.
  iterations: int = 5
  weight: float = 0.2  # Initial weight of messages relative to unaries.
  mix: bool = True  # Whether a trained matrix mixes messages of classes.
  image_std: float | tuple[float, ...] = (58.395, 57.12, 57.375)

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(self.backbone, ('c5',), name='backbone')(
        image, train
    )
    out = segmentation_outputs(
        feats['c5'],
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
    )
    if self.iterations:
      crf = ConvCRF(
          self.window,
          self.blur,
          self.iterations,
          weight=self.weight,
          mix=self.mix,
          name='crf',
      )
      colors = image * jnp.asarray(self.image_std, image.dtype)
      out['logits'] = crf(out['logits'], colors)
    return out
