"""GCN, "Large Kernel Matters", https://arxiv.org/abs/1703.02719.

Each level of a backbone is scored by a global convolution, whose kernel covers
much of the map, and the scores are summed from coarse to fine. A residual block
refines the boundaries in each map of scores. The defaults are those of
zijundeng/pytorch-semantic-segmentation, which it was checked against: kernels
of 7 and bilinear upsampling. The paper's best kernel is 15, and it upsamples by
trained deconvolutions, `kernel=15, deconvolution=True`. That of
yassouali/pytorch-segmentation has `kernel=11, last_conv=True`, on 'resnet/50'.
"""

from flax import linen as nn
import jax

from segjax import backbones
from segjax.layers.global_conv import BoundaryRefinement
from segjax.layers.global_conv import GlobalConv
from segjax.layers.head import classifier
from segjax.layers.upsample import upsample_scores
from segjax.ops.resize import resize


class Model(nn.Module):
  """Backbone, global convolutions, sums of scores up to the image's size."""

  num_classes: int
  backbone: str = 'resnet/152'
  kernel: int = 7  # Length of the rows and columns of the global convolutions.
  deconvolution: bool = False  # Trained upsampling, which starts as bilinear.
  upsampling: str = 'transposed'  # The trained one, see `layers.upsample`.
  # Leaves out the level of stride 2, where scores stay at stride 4, and ends
  # with a 1x1 convolution of the scores.
  last_conv: bool = False

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone, ('c1', 'c2', 'c3', 'c4', 'c5'), name='backbone'
    )(image, train)
    x = self.score('c5', feats['c5'])
    for level in ('c4', 'c3', 'c2'):
      scores = self.score(level, feats[level])
      x = self.enlarge(level, x, scores.shape[1:3]) + scores
      x = BoundaryRefinement(name=f'refine_sum_{level}')(x)
    stage1 = feats['c2' if self.last_conv else 'c1']
    for level, size in (
        ('c1', stage1.shape[1:3]),
        ('image', image.shape[1:3]),
    ):
      x = self.enlarge(level, x, size)
      x = BoundaryRefinement(name=f'refine_sum_{level}')(x)
    if self.last_conv:
      x = classifier(self.num_classes, 'last')(x)
    return {'logits': x, 'aux': {}}

  def score(self, level: str, feats: jax.Array) -> jax.Array:
    """Returns scores [B, h, w, K] of the features of a level."""
    x = GlobalConv(self.num_classes, self.kernel, name=f'score_{level}')(feats)
    return BoundaryRefinement(name=f'refine_{level}')(x)

  def enlarge(
      self, level: str, x: jax.Array, size: tuple[int, int]
  ) -> jax.Array:
    """Returns scores at the size of a level, which is about twice theirs."""
    if not self.deconvolution:
      return resize(x, size, align_corners=True)
    x = upsample_scores(
        self.upsampling, 2, padding=1, bias=True, name=f'enlarge_{level}'
    )(x)
    height, width = size
    return x[:, :height, :width]
