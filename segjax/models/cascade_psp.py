"""CascadePSP, https://arxiv.org/abs/2005.02551.

Refines a mask, whatever it shows: a PSPNet is given image, mask and what it has
made of them so far, three times, and each time goes on to a finer output, at
strides 8, 4 and 1. `segjax/refine/cascade_psp.py` applies it to what any system
predicts, in images of any size. As its authors' code has it
(hkchengrex/CascadePSP), against which it was checked.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers import norm as norms
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.psp import PyramidPooling
from segjax.ops.mask_refinement import cascade_loss
from segjax.ops.resize import resize

LEVELS = ('stem', 'c2', 'c5')


class Upsample(nn.Module):
  """Doubles the sides of features and joins a skip; figure 2, PSPUpsample."""

  features: int

  @nn.compact
  def __call__(self, x, skip, train):
    x = resize(x, skip.shape[1:3])

    def pair(y, first):
      for i in (first, first + 1):
        y = nn.relu(norms.BatchNorm(train, name=f'norm{i}')(y))
        y = conv(self.features, bias=True, name=f'conv{i}')(y)
      return y

    y = pair(jnp.concatenate([x, skip], -1), 1)
    y += conv(self.features, 1, bias=True, name='shortcut')(x)
    return y + pair(y, 3)


class Head(nn.Module):
  """Scores of a small network that looks at single pixels."""

  channels: int
  features: int = 32

  @nn.compact
  def __call__(self, x):
    x = nn.relu(conv(self.features, 1, bias=True, name='conv')(x))
    init = nn.initializers.normal(0.01)
    return conv(self.channels, 1, bias=True, init=init, name='classifier')(x)


class Model(nn.Module):
  """Three passes through one network; 'aux' has the outputs on the way.

  They are named by pass and stride, and enlarged to the size of the image.
  """

  num_classes: int
  backbone: str = (
      'resnet/50(output_stride=8, dilations=(1, 1, (1, 2, 2, 2, 2, 2), (1, 4,'
      ' 4)))'
  )
  features: int = 1024  # At stride 8.
  up_features: tuple[int, int, int] = (512, 256, 32)  # At strides 4, 2 and 1.
  head_features: int = 32

  reads = ('image', 'coarse_mask')

  @property
  def multiple(self):
    return 8

  @nn.compact
  def __call__(self, image, coarse_mask, stride8=None, *, train=False):
    """Refines a mask.

    Args:
      image: [B, H, W, C].
      coarse_mask: [B, H, W], 0 to 1.
      stride8: [B, H, W], 0 to 1, what the first pass would have made of the
        mask, which then begins with the second one; or None.
      train: whether norms take their statistics from the batch.
    """
    size = image.shape[1:3]
    backbone = backbones.build(
        self.backbone, LEVELS, keep_stem=True, name='backbone'
    )
    pooling = PyramidPooling(
        0, norm=None, act=None, features_last=True, name='psp'
    )
    fuse = ConvNormAct(
        self.features, kernel=1, bias=True, norm=None, name='fuse'
    )
    ups = [
        Upsample(features, name=f'up{i}')
        for i, features in enumerate(self.up_features, 1)
    ]
    heads = {
        stride: Head(self.num_classes, self.head_features, name=f'head{stride}')
        for stride in (8, 4, 1)
    }

    def as_input(x):
      x = (2 * x - 1)[..., None].astype(image.dtype)
      return jnp.broadcast_to(x, (*x.shape[:3], self.num_classes))

    def look(first, second):
      """Returns features at stride 8, and what later steps skip."""
      given = jnp.concatenate([image, mask[..., :1], first, second], -1)
      feats = backbone(given, train)
      return fuse(pooling(feats['c5'], train), train), feats

    def enlarged(x):
      return resize(x, size)

    mask, outputs = as_input(coarse_mask), {}
    if stride8 is None:
      x, _ = look(mask, mask)
      outputs['pass1_stride8'] = enlarged(heads[8](x))
      so_far = nn.tanh(outputs['pass1_stride8'])
    else:
      so_far = as_input(stride8)

    x, feats = look(so_far, so_far)
    outputs['pass2_stride8'] = enlarged(heads[8](x))
    x = ups[0](x, feats['c2'], train)
    outputs['pass2_stride4'] = enlarged(heads[4](x))

    x, feats = look(
        nn.tanh(outputs['pass2_stride8']), nn.tanh(outputs['pass2_stride4'])
    )
    outputs['pass3_stride8'] = enlarged(heads[8](x))
    x = ups[0](x, feats['c2'], train)
    outputs['pass3_stride4'] = enlarged(heads[4](x))
    x = ups[1](x, feats['stem'], train)
    x = ups[2](x, image, train)
    logits = heads[1](jnp.concatenate([x, image], -1))
    return {'logits': logits, 'aux': outputs}


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    gradient_weight: float = 5.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the losses of all outputs, in the place of the task's.

  Args:
    out: outputs of the model.
    batch: what they are outputs for; the label is 1 on the mask.
    rng: not used.
    base: not used.
    gradient_weight: factor of the loss of the last output's gradient.
  """
  del rng, base
  label = batch['label'][..., None]
  outputs = {
      name: (logits, int(name.rpartition('stride')[-1]))
      for name, logits in out['aux'].items()
  }
  outputs['pass3_stride1'] = out['logits'], 1
  return cascade_loss(
      outputs,
      (label == 1).astype(jnp.float32),
      label <= 1,
      gradient_weight=gradient_weight,
  )
