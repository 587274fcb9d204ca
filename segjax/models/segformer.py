"""SegFormer, https://arxiv.org/abs/2105.15203.

A hierarchical transformer without position embeddings
(`segjax/backbones/mit.py`) and a decoder of linear layers alone: each level is
projected to equal width and enlarged to stride 4, and all are fused and
classified (figure 2). This is the network of mmsegmentation 1.2.2, whose
projections have batch norm and ReLU; those of the paper and of the authors'
code (NVlabs/SegFormer) are linear, `linear=True` on
'mit/b0(reduced_epsilon=1e-5)'. So are those of segmentation_models_pytorch,
which has other backbones and their level at stride 2 as well:
`backbone='resnet/18', levels=('c5', 'c4', 'c3', 'c2', 'c1'), linear=True,
dropout=0.0, align_corners=True`. Checked against mmsegmentation and
segmentation_models_pytorch.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points
from segjax.ops.resize import resize


class Model(nn.Module):
  """Backbone, projection of its levels to stride 4, fusion, classifier."""

  num_classes: int
  backbone: str = 'mit/b0'
  levels: tuple[str, ...] = ('c5', 'c4', 'c3', 'c2')
  linear: bool = False  # Projections have neither norm nor ReLU.
  features: int = 256
  dropout: float = 0.1
  align_corners: bool = False  # Of the last upsampling.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        (*self.levels, 'c2', level_of(self.points)),
        name='backbone',
    )(image, train)
    levels = [
        resize(
            self._project(feats[level], f'project_{level}', train),
            feats['c2'].shape[1:3],
        )
        for level in self.levels
    ]
    x = jnp.concatenate(levels, -1)
    x = ConvNormAct(self.features, kernel=1, name='fuse')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        align_corners=self.align_corners,
        feats=feats,
        points=self.points,
    )

  def _project(self, x, name, train):
    """Returns a level of the backbone with `features` channels."""
    if self.linear:
      return conv(self.features, 1, bias=True, name=name)(x)
    return ConvNormAct(self.features, kernel=1, name=name)(x, train)


# That of the task, and of a point head if there is one.
loss = points.loss
