"""Lovasz hinge: a convex surrogate of the Jaccard loss of one class."""

import jax
import jax.numpy as jnp

from segjax.ops.lovasz import lovasz_extension
from segjax.ops.reduce import region_mean
from segjax.ops.targets import one_hot


def lovasz_hinge(
    logits: jax.Array,
    labels: jax.Array,
    *,
    per_image: bool = True,
    ignore: int = 255,
) -> jax.Array:
  """Computes the Lovasz extension of the Jaccard loss on hinge errors.

  Args:
    logits: [B, H, W, 1], unnormalised.
    labels: [B, H, W], 0, 1 or `ignore`; others are ignored too.
    per_image: whether to average the losses of the images that have a valid
      pixel, else the batch counts as one image.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar; 0 if no pixel is valid.

  References:
    Yu and Blaschko, The Lovasz Hinge, 2015, https://arxiv.org/abs/1512.07797;
    Berman et al. 2018, https://arxiv.org/abs/1705.08790, and
    https://github.com/bermanmaxim/LovaszSoftmax.
  """
  if logits.shape[-1] != 1:
    raise ValueError(
        f'lovasz_hinge: logits {logits.shape} have {logits.shape[-1]} channels,'
        ' not one; lovasz_softmax is for more.'
    )
  target, valid = one_hot(labels, 1, ignore)
  errors = jax.nn.relu(1 - (2 * target - 1) * logits.astype(jnp.float32))
  loss = lovasz_extension(errors, target, valid, per_image)
  return region_mean(loss[:, 0], valid, per_image)
