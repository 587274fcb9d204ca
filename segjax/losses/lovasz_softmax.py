"""Lovasz-Softmax: the Jaccard loss of classes, with probabilities."""

import jax.numpy as jnp

from segjax.ops.lovasz import lovasz_extension
from segjax.ops.reduce import ratio
from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot
from segjax.ops.targets import probabilities


def lovasz_softmax(
    logits, labels, *, per_image=False, all_classes=False, ignore=255
):
  """Lovasz extension of each class's Jaccard loss, at the errors of pixels.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 where K is 1, or `ignore`;
      others are ignored too.
    per_image: whether to average the losses of images, those without a valid
      pixel left out, else the batch is taken as one image.
    all_classes: whether to average over all classes, else over those that occur
      in the image or the batch. The loss of a class that does not is its
      largest probability.
    ignore: label of pixels that count neither as right nor as wrong.

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
  loss = ratio((loss * counted).sum(-1), counted.sum(-1))
  return region_mean(loss, valid, per_image)
