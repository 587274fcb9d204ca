"""Semantic segmentation: a class for every pixel.

Outputs of a system: `logits` [B, H, W, K] at the size of the input, and `aux`,
{name: logits of an auxiliary head, of the same shape}. A batch has `image`
[B, H, W, C] and `label` [B, H, W], class ids or 255 for ignored pixels; it may
have `weight` [B, H, W], what each pixel counts.
"""

from segjax.ops.targets import class_logits


def channels(num_classes):
  """Returns the channels of the logits: one a class.

  Raises:
    ValueError: there is nothing to tell apart.
  """
  if num_classes < 2:
    raise ValueError(
        f'The data set has {num_classes} class; at least 2 are needed.'
    )
  return num_classes


def loss(out, batch, objective, aux_weight=0.0):
  """Returns the loss to minimise and its parts, scalars by name.

  Args:
    out: outputs of a system.
    batch: what they are outputs for.
    objective: from `losses.build`.
    aux_weight: factor of each auxiliary head's loss.
  """
  label, weight = batch['label'], batch.get('weight')
  total, parts = objective(out['logits'], label, weight)
  for name, logits in out['aux'].items():
    aux, _ = objective(logits, label, weight)
    parts[f'aux_{name}'] = aux
    total = total + aux_weight * aux
  return total, parts


def predict(out):
  """Returns the scores that inference works with: a logit for each class."""
  return class_logits(out['logits'])
