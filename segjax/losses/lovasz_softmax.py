"""Lovasz-Softmax: a surrogate of the Jaccard loss of each class."""

import jax
import jax.numpy as jnp

from segjax.ops.lovasz import lovasz_extension
from segjax.ops.reduce import class_mean
from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot
from segjax.ops.targets import probabilities


def lovasz_softmax(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: jax.Array | None = None,
    per_image: bool = False,
    all_classes: bool = False,
    ignore: int = 255,
) -> jax.Array:
  """Computes the Lovasz extension of each class's Jaccard loss, averaged.

  The error of a pixel is the absolute difference of target and probability.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 if K is 1. Other labels
      are ignored like `ignore`.
    class_weights: [K] or None, weights of the classes in the mean over them.
    per_image: whether to average the losses of the images that have a valid
      pixel, else the batch counts as one image.
    all_classes: whether to average over all classes, else over those that occur
      in the image or the batch. The loss of a class that does not occur is its
      largest probability.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar; 0 if no pixel is valid.

  References:
    Berman et al., The Lovasz-Softmax loss, 2018,
    https://arxiv.org/abs/1705.08790, and
    https://github.com/bermanmaxim/LovaszSoftmax.
  """
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  errors = jnp.abs(target - probabilities(logits))
  loss = lovasz_extension(errors, target, valid, per_image)
  counted = all_classes | (region_sum(target, per_image) > 0)
  loss = class_mean(loss, class_weights, counted)
  return region_mean(loss, valid, per_image)
