"""PIDNet, https://arxiv.org/abs/2206.02066.

Three branches behind one stem, after the parts of a PID controller: P keeps
details at stride 8, I gathers context down to stride 64, and D finds
boundaries, at which the result is taken from P rather than from I. The defaults
are PIDNet-S; M has `width=64`, and L has `width=64, stem_depth=3,
branch_depth=4, pyramid_features=112, head_features=256, large=True`. As
mmsegmentation 1.2.2 builds it, against which it was checked; sides that are no
multiples of 8, which that code refuses, are rounded up.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.backbones.resnet import OpenGroup
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import NormActConv
from segjax.layers.conv import NormActConvNormAct
from segjax.layers.head import FCNHead
from segjax.layers.pooled_pyramid import PooledPyramid
from segjax.ops.boundary import boundary_loss
from segjax.ops.boundary import boundary_target
from segjax.ops.resize import resize


class AttentionFusion(nn.Module):
  """Mixes details and context by how well they match at a pixel (Pag)."""

  features: int  # Channels of what is compared.

  @nn.compact
  def __call__(self, detail, context, train):
    size = detail.shape[1:3]
    key = ConvNormAct(self.features, kernel=1, act=None, name='context')(
        context, train
    )
    query = ConvNormAct(self.features, kernel=1, act=None, name='detail')(
        detail, train
    )
    match = (query * resize(key, size)).sum(-1, keepdims=True)
    share = nn.sigmoid(match)
    return share * resize(context, size) + (1 - share) * detail


class BoundaryFusion(nn.Module):
  """Takes details at boundaries, and context elsewhere (Bag).

  The light one, of PIDNet-S and M, adds two projections: of details with the
  context away from boundaries, and of context with the details at boundaries.
  """

  light: bool

  @nn.compact
  def __call__(self, detail, context, boundary, train):
    features = context.shape[-1]
    share = nn.sigmoid(boundary)
    if not self.light:
      x = share * detail + (1 - share) * context
      return NormActConv(features, name='conv')(x, train)
    fine = ConvNormAct(features, kernel=1, act=None, name='detail')(
        (1 - share) * context + detail, train
    )
    coarse = ConvNormAct(features, kernel=1, act=None, name='context')(
        context + share * detail, train
    )
    return fine + coarse


class Model(nn.Module):
  """Stem, branches P, I and D, their fusion, and heads at stride 8.

  'boundary' of the outputs, [B, H, W, 1], has scores of boundaries by the head
  on D; 'aux' has the head on P.
  """

  num_classes: int
  width: int = 32  # Channels of the stem.
  stem_depth: int = 2  # Blocks of the stages of the stem, and of P.
  branch_depth: int = 3  # Blocks of the stages of I.
  pyramid_features: int = 96  # Of a scale of the pyramid.
  head_features: int = 128
  # PIDNet-L: D is wider, the pyramid DAPPM instead of PAPPM, and the fusion has
  # a 3x3 convolution.
  large: bool = False
  dropout: float = 0.1  # In the head on the fused features.
  more_heads: bool = True  # Whether P and D have heads.

  @nn.compact
  def __call__(self, image, *, train=False):
    width, depth, size = self.width, self.stem_depth, image.shape[1:3]
    x = ConvNormAct(width, stride=2, name='stem1')(image, train)
    x = ConvNormAct(width, stride=2, name='stem2')(x, train)
    x = nn.relu(OpenGroup(width, depth, name='stem3')(x, train))
    x = nn.relu(OpenGroup(2 * width, depth, stride=2, name='stem4')(x, train))

    context = nn.relu(
        OpenGroup(4 * width, self.branch_depth, stride=2, name='i3')(x, train)
    )
    detail = OpenGroup(2 * width, depth, name='p3')(x, train)
    boundary = OpenGroup(width * (1 + self.large), name='d3')(x, train)
    detail, boundary = self._join(3, detail, context, boundary, train)
    first_detail = detail

    context = nn.relu(
        OpenGroup(8 * width, self.branch_depth, stride=2, name='i4')(
            context, train
        )
    )
    detail = OpenGroup(2 * width, depth, name='p4')(nn.relu(detail), train)
    if self.large:
      group = OpenGroup(2 * width, name='d4')
    else:
      group = OpenGroup(width, bottleneck=True, name='d4')
    boundary = group(nn.relu(boundary), train)
    detail, boundary = self._join(4, detail, context, boundary, train)
    last_boundary = boundary

    context = OpenGroup(8 * width, 2, 2, bottleneck=True, name='i5')(
        context, train
    )
    detail = OpenGroup(2 * width, bottleneck=True, name='p5')(
        nn.relu(detail), train
    )
    boundary = OpenGroup(2 * width, bottleneck=True, name='d5')(
        nn.relu(boundary), train
    )
    context = PooledPyramid(
        self.pyramid_features, 4 * width, not self.large, name='pyramid'
    )(context, train)
    context = resize(context, detail.shape[1:3])
    x = BoundaryFusion(not self.large, name='fusion')(
        detail, context, boundary, train
    )

    def head(name, x, channels, features, dropout=0.0):
      scores = FCNHead(
          channels, dropout, features, NormActConvNormAct, name=name
      )(x, train)
      return resize(scores, size, align_corners=True)

    classes, features = self.num_classes, self.head_features
    outputs = {'logits': head('head', x, classes, features, self.dropout)}
    outputs['aux'] = {}
    if self.more_heads:
      outputs['aux']['p'] = head('aux_p', first_detail, classes, features)
      outputs['boundary'] = head('boundary', last_boundary, 1, width)
    return outputs

  def _join(self, stage, detail, context, boundary, train):
    """Returns what P and D are after they have read I."""
    y = ConvNormAct(
        detail.shape[-1], kernel=1, act=None, name=f'context_to_p{stage}'
    )(context, train)
    detail = AttentionFusion(self.width, name=f'fuse_p{stage}')(
        detail, y, train
    )
    y = ConvNormAct(boundary.shape[-1], act=None, name=f'context_to_d{stage}')(
        context, train
    )
    return detail, boundary + resize(y, boundary.shape[1:3])


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    boundary_weight: float = 20.0,
    at_boundary_weight: float = 1.0,
    threshold: float = 0.8,
    edge_width: int = 4,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Adds the losses of boundaries, and of classes where D sees boundaries.

  Args:
    out: outputs of the model.
    batch: what they are outputs for.
    rng: key of the step.
    base: loss of the task; without auxiliary heads it is also the loss of the
      classes at boundaries.
    boundary_weight: factor of the loss of boundaries.
    at_boundary_weight: factor of the loss of classes at boundaries.
    threshold: probability above which a pixel is at a boundary for this loss.
    edge_width: width of boundaries in the target, see `boundary_target`.
  """
  total, parts = base(out, batch, rng)
  if 'boundary' not in out:
    return total, parts
  labels = batch['label']
  target = boundary_target(labels, width=edge_width)
  boundary = boundary_loss(out['boundary'], target)
  found = jax.nn.sigmoid(out['boundary'][..., 0]) > threshold
  there = jnp.where(found, labels, jnp.asarray(255, labels.dtype))
  classes, _ = base({**out, 'aux': {}}, {**batch, 'label': there}, rng)
  total += boundary_weight * boundary + at_boundary_weight * classes
  return total, {**parts, 'boundary': boundary, 'at_boundary': classes}
