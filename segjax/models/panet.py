"""PAN, Pyramid Attention Network, https://arxiv.org/abs/1805.10180.

Not PANet for instances, https://arxiv.org/abs/1803.01534; `pan` is another
reading of the same paper. A small pyramid of large kernels says where to look
in the coarsest features, and on the way to finer ones the mean of the coarser
features says which channels of the finer ones matter. The authors published no
code; it follows JaveyWang/Pyramid-Attention-Networks-pytorch and was checked
against it: the pyramid has an attention map for each channel, upsampling is
trained, and a linear layer, whose gradient ends there, says which classes but
the first occur in an image. That code leaves scores at stride 4, and wants
images with sides of multiples of 128; here scores are enlarged, and any size
fits.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.upsample import UpsampleNormAct
from segjax.ops.presence import presence_loss
from segjax.ops.resize import resize

KERNELS = (7, 5, 3)  # Of the pyramid, from the finest level to the coarsest.


class Double(nn.Module):
  """Enlarges features to the double, and crops."""

  upsampling: str  # See `Model`.
  features: int
  act: Callable | None = nn.relu

  @nn.compact
  def __call__(self, x, size, train):
    """Returns [B, height, width, features].

    Args:
      x: [B, h, w, C].
      size: (height, width) of the result, the double or one less.
      train: whether the norm takes its statistics from the batch.
    """
    x = UpsampleNormAct(
        self.upsampling,
        self.features,
        kernel=4,
        padding=1,
        act=self.act,
        name='layer',
    )(x, train)
    return x[:, : size[0], : size[1]]


class FeaturePyramidAttention(nn.Module):
  """Weights features by a pyramid of their context; figure 3.

  To the product of features and weights the mean over the image is added.
  """

  upsampling: str  # See `Model`.

  @nn.compact
  def __call__(self, x, train):
    features = x.shape[-1]
    inner = features // 4
    levels, y = [], x
    for i, kernel in enumerate(KERNELS, 1):
      y = ConvNormAct(inner, kernel, stride=2, name=f'down{i}')(y, train)
      levels.append(
          ConvNormAct(inner, kernel, act=None, name=f'level{i}')(y, train)
      )
    y = levels.pop()
    while levels:
      i, finer = len(levels) + 1, levels.pop()
      y = Double(self.upsampling, inner, name=f'up{i}')(
          y, finer.shape[1:3], train
      )
      y = nn.relu(finer + y)
    weights = Double(self.upsampling, features, name='up1')(
        y, x.shape[1:3], train
    )
    master = ConvNormAct(features, kernel=1, act=None, name='master')(x, train)
    mean = ConvNormAct(features, kernel=1, act=None, name='mean')(
        x.mean((1, 2), keepdims=True), train
    )
    return nn.relu(master * weights + mean)


class GlobalAttentionUpsample(nn.Module):
  """Adds finer features, gated by the mean of the coarser ones; figure 4."""

  upsampling: str  # See `Model`.

  @nn.compact
  def __call__(self, coarse, fine, train):
    """Returns features of the shape of `fine`, [B, H, W, C].

    Args:
      coarse: [B, h, w, D], half as large or of the same size.
      fine: [B, H, W, C].
      train: whether norms take their statistics from the batch.
    """
    features, size = fine.shape[-1], fine.shape[1:3]
    gate = ConvNormAct(features, kernel=1, name='gate')(
        coarse.mean((1, 2), keepdims=True), train
    )
    fine = ConvNormAct(features, act=None, name='fine')(fine, train)
    if coarse.shape[1:3] == size:
      coarse = ConvNormAct(features, kernel=1, act=None, name='reduce')(
          coarse, train
      )
    else:
      coarse = Double(self.upsampling, features, act=None, name='enlarge')(
          coarse, size, train
      )
    return nn.relu(coarse + fine * gate)


class Model(nn.Module):
  """Dilated backbone, pyramid attention, three attention upsamplings.

  'image_logits' of the outputs, [B, K - 1], score whether each class but the
  first, the background, occurs in an image.
  """

  num_classes: int
  # With rates of 1, 2 and 4 in the three blocks of the last stage.
  backbone: str = 'resnet/50(output_stride=16, multi_grid=(0, 1, 2))'
  upsampling: str = 'transposed'  # Of the decoder, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    levels = ('c4', 'c3', 'c2')
    feats = backbones.build(self.backbone, ('c5', *levels), name='backbone')(
        image, train
    )
    x = FeaturePyramidAttention(self.upsampling, name='pyramid')(
        feats['c5'], train
    )
    for level in levels:
      x = GlobalAttentionUpsample(self.upsampling, name=f'upsample_{level}')(
          x, feats[level], train
      )
    x = conv(self.num_classes, bias=True, name='classifier')(x)
    mean = jax.lax.stop_gradient(feats['c5'].mean((1, 2)))
    return {
        'logits': resize(x, image.shape[1:3]),
        'aux': {},
        # The only channel of a binary system is that of its second class.
        'image_logits': nn.Dense(
            max(self.num_classes - 1, 1), name='image_classifier'
        )(mean),
    }


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    presence_weight: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Adds a loss of the scores of whole images: which classes occur in each.

  Args:
    out: outputs of the model.
    batch: what they are outputs for.
    rng: key of the step.
    base: loss of the task.
    presence_weight: factor of the added term.
  """
  total, parts = base(out, batch, rng)
  label = batch['label'].astype(jnp.int32)
  foreground = jnp.where((label > 0) & (label < 255), label - 1, 255)
  presence = presence_loss(out['image_logits'], foreground)
  return total + presence_weight * presence, {**parts, 'presence': presence}
