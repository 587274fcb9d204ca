"""Context path of BiSeNet, which STDC has too."""

from collections.abc import Mapping

from flax import linen as nn
import jax

from segjax.layers.conv import ConvNormAct
from segjax.ops.resize import resize


class AttentionRefinement(nn.Module):
  """Applies a 3x3 convolution and scales each channel by a gate.

  The gate is a 1x1 convolution of the means over the image, batch norm and a
  sigmoid: BiSeNet, https://arxiv.org/abs/1808.00897, figure 2b.
  """

  features: int

  @nn.compact
  def __call__(self, x, train):
    x = ConvNormAct(self.features, name='conv')(x, train)
    gate = ConvNormAct(self.features, kernel=1, act=nn.sigmoid, name='gate')
    return x * gate(x.mean((1, 2), keepdims=True), train)


class ContextPath(nn.Module):
  """Joins the mean of an image and two levels of a backbone, from the deepest.

  BiSeNet, section 3.2. The mean is added to the refined 'c5', the sum is
  enlarged to 'c4' and convolved, the refined 'c4' is added, and so on.
  """

  features: int = 128

  @nn.compact
  def __call__(
      self, feats: Mapping[str, jax.Array], train: bool
  ) -> dict[str, jax.Array]:
    """Returns {'c4': [B, h, w, features], 'c3': ...}, at the sizes of these.

    Args:
      feats: {level: features [B, h, w, C]} of a backbone; of 'c3' the size
        alone is read.
      train: whether norms take their statistics from the batch.
    """
    mean = feats['c5'].mean((1, 2), keepdims=True)
    x = ConvNormAct(self.features, kernel=1, name='mean')(mean, train)
    joined = {}
    for level, finer in (('c5', 'c4'), ('c4', 'c3')):
      refined = AttentionRefinement(self.features, name=f'refine_{level}')(
          feats[level], train
      )
      x = resize(refined + x, feats[finer].shape[1:3], method='nearest')
      x = ConvNormAct(self.features, name=f'conv_{finer}')(x, train)
      joined[finer] = x
    return joined
