"""Gated-SCNN, https://arxiv.org/abs/1907.05740.

Beside the backbone a shallow stream at the size of the image learns edges. The
backbone opens its gates, so that edges of objects pass and others do not; what
it finds goes, with the edges that Canny's method finds in the image, into the
pyramid pooling. As its authors' code has it (nv-tlabs/GSCNN), against which it
was checked. Their losses differ from the paper, see `segjax.ops.dual_task`. A
ResNet as the backbone has `first_level='c1'`.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.backbones.resnet import BasicBlock
from segjax.layers import norm as norms
from segjax.layers.aspp import ASPP
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.ops import dual_task
from segjax.ops.resize import resize
from segjax.ops.targets import class_logits

SIDES = ('c2', 'c3', 'c5')  # Levels that open the three gates.


class Gate(nn.Module):
  """Multiplies features by 1 to 2, by what they and one channel tell."""

  @nn.compact
  def __call__(self, x, side, train):
    both = jnp.concatenate([x, side], -1)
    y = norms.BatchNorm(train, name='norm1')(both)
    y = conv(y.shape[-1], 1, bias=True, name='conv1')(y)
    y = conv(1, 1, bias=True, name='conv2')(nn.relu(y))
    opened = nn.sigmoid(norms.BatchNorm(train, name='norm2')(y))
    return conv(x.shape[-1], 1, name='project')(x * (opened + 1))


class ShapeStream(nn.Module):
  """Residual blocks and gates at the size of the image; figure 2, below.

  Returns the probability of an edge, [B, H, W, 1].
  """

  features: tuple[int, int, int]  # Behind each block.

  @nn.compact
  def __call__(self, x, sides, size, train):
    x = resize(x, size, align_corners=True)
    for i, (features, side) in enumerate(
        zip(self.features, sides, strict=True), 1
    ):
      x = BasicBlock(x.shape[-1], name=f'block{i}')(x, train)
      x = conv(features, 1, bias=True, name=f'reduce{i}')(x)
      opener = conv(1, 1, bias=True, name=f'side{i}')(side)
      opener = resize(opener, size, align_corners=True)
      x = Gate(name=f'gate{i}')(x, opener, train)
    return nn.sigmoid(conv(1, 1, name='edge')(x))


class Model(nn.Module):
  """Backbone and shape stream, joined by ASPP, and a decoder.

  'edge' of the outputs, [B, H, W, 1], is the probability of an edge.
  """

  num_classes: int
  backbone: str = (
      'resnet38/a2(output_stride=8, final_norm=False, dropout=(0.3, 0.5))'
  )
  first_level: str = 'c0'  # That the shape stream begins with.
  shape_features: tuple[int, int, int] = (32, 16, 8)  # Of the shape stream.
  features: int = 256
  rates: tuple[int, ...] = (12, 24, 36)
  low_features: int = 48

  reads = ('image', 'canny')

  @nn.compact
  def __call__(self, image, canny, *, train=False):
    size = image.shape[1:3]
    feats = backbones.build(
        self.backbone, (self.first_level, 'c1', *SIDES), name='backbone'
    )(image, train)
    edge = ShapeStream(self.shape_features, name='shape')(
        feats[self.first_level], [feats[level] for level in SIDES], size, train
    )
    both = jnp.concatenate([edge, canny[..., None].astype(edge.dtype)], -1)
    mixed = nn.sigmoid(conv(1, 1, name='mix')(both))

    x = ASPP(
        self.features,
        self.rates,
        image_first=True,
        project_kernel=0,
        name='aspp',
    )(feats['c5'], train)
    mixed = resize(mixed, x.shape[1:3], align_corners=True)
    mixed = ConvNormAct(self.features, kernel=1, name='aspp_edge')(mixed, train)
    mean, rest = jnp.split(x, [self.features], -1)
    x = jnp.concatenate([mean, mixed, rest], -1)
    x = conv(self.features, 1, name='project')(x)

    low = conv(self.low_features, 1, name='low')(feats['c1'])
    x = resize(x, low.shape[1:3], align_corners=True)
    x = jnp.concatenate([low, x], -1)
    x = ConvNormAct(self.features, name='fuse1')(x, train)
    x = ConvNormAct(self.features, name='fuse2')(x, train)
    init = nn.initializers.normal(0.01)
    logits = conv(self.num_classes, 1, init=init, name='classifier')(x)
    return {'logits': resize(logits, size), 'aux': {}, 'edge': edge}


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    edge_weight: float = 20.0,
    attention_weight: float = 1.0,
    dual_weight: float = 1.0,
    edge_threshold: float = 0.8,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Adds the loss of edges, and two that tie edges and classes together.

  Args:
    out: outputs of the model.
    batch: what they are outputs for.
    rng: key of the step, of the Gumbel noise.
    base: loss of the task.
    edge_weight: factor of the loss of edges.
    attention_weight: factor of the task's loss near predicted edges.
    dual_weight: factor of the loss of edges of sampled classes.
    edge_threshold: probability of an edge above which pixels are near one.
  """
  total, parts = base(out, batch, rng)
  labels, logits = batch['label'], class_logits(out['logits'])
  edges = dual_task.class_edges(labels, logits.shape[-1])
  near = out['edge'][..., 0] > edge_threshold
  # Where no edge is near, nothing is labelled.
  near_labels = {**batch, 'label': jnp.where(near, labels, 255)}
  draws = jax.random.uniform(rng, logits.shape)
  added = {
      'edge': dual_task.edge_loss(out['edge'], edges),
      'edge_attention': base(out, near_labels, rng)[0],
      'dual_task': dual_task.dual_task_loss(
          logits, labels, dual_task.gumbel(draws)
      ),
  }
  total += edge_weight * added['edge']
  total += attention_weight * added['edge_attention']
  total += dual_weight * added['dual_task']
  return total, {**parts, **added}
