"""DINOv2 with a linear head, https://arxiv.org/abs/2304.07193.

A vision transformer that learnt without labels turns an image into features of
patches, and a linear layer after a batch norm reads the class of each patch
from them. The transformer stays as it is: the config freezes '^backbone/', so
that no gradient is computed through it and no activation of it is kept. With
`taps`, the layer reads several blocks joined, as the paper's "+ms" does on four
of them, tested at several scales.

Checked against transformers 5.24, whose DINOv2 has the same features as that of
the authors; the head is that of their code for segmentation.
"""

import math

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.head import classifier
from segjax.layers.norm import BatchNorm
from segjax.ops.resize import resize


class Model(nn.Module):
  """Vision transformer, batch norm, 1x1 convolution, upsampling."""

  num_classes: int
  backbone: str = 'vit/dinov2_small'
  # Blocks that are read, counted from 0, each after the final norm; empty: the
  # last one.
  taps: tuple[int, ...] = ()

  @nn.compact
  def __call__(self, image, *, train=False):
    backbone = backbones.build(
        self.backbone, taps=self.taps, norm_taps=True, name='backbone'
    )
    feats = backbone(image, train)
    x = jnp.concatenate([feats[level] for level in backbone.levels], -1)
    scores = classifier(self.num_classes)(BatchNorm(train, name='norm')(x))
    # The last patches may be padding in part.
    patch, size = backbone.patch, image.shape[1:3]
    whole = [patch * math.ceil(side / patch) for side in size]
    logits = resize(scores, whole)[:, : size[0], : size[1]]
    return {'logits': logits, 'aux': {}}
