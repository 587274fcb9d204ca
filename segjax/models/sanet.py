"""SANet, https://arxiv.org/abs/1909.03402.

Squeeze and attention: a branch on pooled features that keeps space says, for
each pixel and channel, how much of the main branch passes, and is added to it.
Heads of this kind on all four stages group the pixels of a class; a plain head
predicts them one by one. The paper leaves open how stages are merged; here
their scores are added at stride 4. Checked against a network that was built so;
no code of the authors is public.
"""

from collections.abc import Callable

from flax import linen as nn
import jax

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import FCNHead
from segjax.layers.head import classifier
from segjax.ops.pool import avg_pool
from segjax.ops.presence import presence_loss
from segjax.ops.resize import resize

LEVELS = 'c2', 'c3', 'c4', 'c5'


class SqueezeAndAttention(nn.Module):
  """Lets a convolution pass by attention, which is added to it; figure 3."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    def twice(y, name):
      for i in (1, 2):
        layer = ConvNormAct(self.features, bias=True, name=f'{name}{i}')
        y = layer(y, train)
      return y

    attention = twice(avg_pool(x, (2, 2), (2, 2)), 'attention')
    attention = resize(attention, x.shape[1:3], align_corners=True)
    return attention * twice(x, 'main') + attention


class Head(nn.Module):
  """Returns the scores of a stage's pixels, and of the classes in the image."""

  num_classes: int
  features: int

  @nn.compact
  def __call__(self, x, train):
    x = SqueezeAndAttention(self.features, name='attend')(x, train)
    presence = nn.Dense(self.num_classes, name='presence')(x.mean((1, 2)))
    return classifier(self.num_classes)(x), presence


class Model(nn.Module):
  """Dilated backbone with a head on each stage, and one of single pixels.

  Logits are the sum of 'masks', of the heads, and of the auxiliary 'dense'.
  'presence' of the outputs, [B, K], scores whether a class occurs in an image.
  """

  num_classes: int
  backbone: str = 'resnet/50_v1s(output_stride=8)'
  features: int = 128  # Of the heads of the stages.
  dropout: float = 0.1

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(self.backbone, LEVELS, name='backbone')(
        image, train
    )

    def enlarged(scores, size):
      return resize(scores, size, align_corners=True)

    fine = feats['c2'].shape[1:3]
    masks, presence = 0, 0
    for level in LEVELS:
      mask, present = Head(
          self.num_classes, self.features, name=f'head_{level}'
      )(feats[level], train)
      masks += enlarged(mask, fine)
      presence += present
    dense = FCNHead(self.num_classes, self.dropout, name='dense')(
        feats['c5'], train
    )
    size = image.shape[1:3]
    return {
        'logits': enlarged(masks + enlarged(dense, fine), size),
        'masks': enlarged(masks, size),
        'aux': {'dense': enlarged(dense, size)},
        'presence': presence,
    }


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    presence_weight: float = 0.2,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Computes the three losses of the paper, equation 4.

  Masks and dense scores are trained apart, the second as an auxiliary output,
  whose factor the paper calls beta and has at 0.8.

  Args:
    out: outputs of the model.
    batch: what they are outputs for.
    rng: key of the step.
    base: loss of the task.
    presence_weight: factor of the presence of classes, the paper's alpha.
  """
  total, parts = base({**out, 'logits': out['masks']}, batch, rng)
  presence = presence_loss(out['presence'], batch['label'])
  return total + presence_weight * presence, {**parts, 'presence': presence}
