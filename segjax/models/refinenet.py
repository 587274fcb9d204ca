"""RefineNet, https://arxiv.org/abs/1611.06612.

Four blocks, one a level of a backbone from the coarsest on, refine features by
what the block before handed on: residual convolution units adapt each input,
the inputs are summed, and chained residual pooling adds context. There is no
norm in them. As DrSleep/refinenet-pytorch builds it after the authors' code,
and checked against it; pooling comes before convolution in the chain, as in the
paper. Both leave scores at stride 4; here they are enlarged.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.conv import conv
from segjax.layers.residual_pooling import ChainedResidualPooling
from segjax.layers.residual_pooling import ResidualConvUnits
from segjax.layers.residual_pooling import small_uniform
from segjax.ops.resize import resize


class RefinementBlock(nn.Module):
  """Refines the features of a level by those of the coarser ones; figure 3."""

  features: int

  @nn.compact
  def __call__(self, skip, x=None):
    """Returns [B, H, W, features].

    Args:
      skip: features of the level, [B, H, W, C].
      x: features of the coarser levels, [B, h, w, features], if there are any.
    """
    y = conv(self.features, init=small_uniform, name='reduce')(skip)
    y = ResidualConvUnits(2, name='adapt')(y)
    if x is not None:
      y = conv(self.features, init=small_uniform, name='skip')(y)
      y += resize(x, y.shape[1:3], align_corners=True)
    y = ChainedResidualPooling(name='pool')(nn.relu(y))
    return ResidualConvUnits(3, name='output')(y)


class Model(nn.Module):
  """Backbone, four refinement blocks, one 3x3 convolution to scores."""

  num_classes: int
  backbone: str = 'resnet/101'
  features: int = 256
  top_features: int = 512  # Of the coarsest level.
  dropout: float = 0.5  # On the two coarsest levels, and before the scores.

  @nn.compact
  def __call__(self, image, *, train=False):
    levels = ('c5', 'c4', 'c3', 'c2')
    feats = backbones.build(self.backbone, levels, name='backbone')(
        image, train
    )
    dropout = nn.Dropout(self.dropout, deterministic=not train)
    feats |= {level: dropout(feats[level]) for level in ('c5', 'c4')}
    x = RefinementBlock(self.top_features, name='refine_c5')(feats['c5'])
    for level in levels[1:]:
      x = conv(self.features, init=small_uniform, name=f'narrow_{level}')(x)
      x = RefinementBlock(self.features, name=f'refine_{level}')(
          feats[level], x
      )
    x = conv(
        self.num_classes, bias=True, init=small_uniform, name='classifier'
    )(dropout(x))
    logits = resize(x, image.shape[1:3], align_corners=True)
    return {'logits': logits, 'aux': {}}
