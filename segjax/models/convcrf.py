"""ConvCRF, https://arxiv.org/abs/1805.04777.

A CRF whose pairs lie in a window is exact by convolutions whose kernels vary
from pixel to pixel, and so are the gradients of all its numbers. The CRF was
checked against MarvinTeichmann/ConvCRF; the network of its unaries, which that
does not hold, is the plainest here: a dilated ResNet and a classifier.

`iterations=0` leaves out the CRF, and is what is trained first. Colours are
those of the network's input, times `image_std`: what `normalize` divided them
by, so that the width is in colours of 0 to 255.
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
  window: int = 11  # Its side, odd, in cells.
  blur: int = 4  # Side of a cell, in pixels.
  iterations: int = 5
  weight: float = 0.2  # Of messages against unaries, at first.
  mix: bool = True  # Whether the CRF mixes classes, by a matrix.
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
