"""Cross entropy over the valid pixels."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import mean_over


def cross_entropy(
    logits, labels, *, class_weights=None, label_smoothing=0.0, ignore=255
):
  """Mean per-pixel softmax cross entropy.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K) or `ignore`; others are ignored too.
    class_weights: [K] or None; the mean is then weighted, as in PyTorch.
    label_smoothing: part of the target that is spread evenly over all classes.
    ignore: label of pixels that count neither as right nor as wrong.

  Returns:
    A float32 scalar; 0 if no pixel is valid.

  References:
    Long et al., Fully Convolutional Networks for Semantic Segmentation, 2015,
    https://arxiv.org/abs/1411.4038, section 4. Label smoothing: Szegedy et al.
    2016, https://arxiv.org/abs/1512.00567, section 7.
  """
  num_classes = logits.shape[-1]
  if class_weights is None:
    class_weights = jnp.ones(num_classes)
  valid = (labels != ignore) & (labels >= 0) & (labels < num_classes)
  # A product with a one-hot target has a cheap gradient, a gather has not; and
  # it is 0, not NaN, for a label that no class has.
  target = jax.nn.one_hot(labels, num_classes) * class_weights
  spread = label_smoothing / num_classes * class_weights
  log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
  loss = -(((1 - label_smoothing) * target + spread) * log_probs).sum(-1)
  return mean_over((loss * valid).sum(), (target.sum(-1) * valid).sum())
