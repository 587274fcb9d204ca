"""Losses of PyTorch 2.13, mmsegmentation 1.2.2 and Berman's LovaszSoftmax.

PyTorch computed values and gradients, in float64.
"""

import jax
import jax.numpy as jnp

from segjax import losses
from tests.parity import forward
from tests.parity.case import FunctionCase

# Losses of one channel, and those of several; where a name says weighted, there
# are class weights.
BINARY = {
    'bce': 'binary_cross_entropy',
    'bce_pos_weight': 'binary_cross_entropy(pos_weight=3.0)',
    'focal_binary': 'binary_focal',
    'dice_binary': 'dice',
    'dice_binary_squared': 'dice(squared=True)',
    'dice_binary_per_image': 'dice(per_image=True)',
    'tversky_binary': 'tversky',
    'focal_tversky_binary': 'tversky(power=0.75)',
    'combo_binary': 'combo(beta=0.4)',
    'lovasz_hinge_per_image': 'lovasz_hinge',
    'lovasz_hinge_batch': 'lovasz_hinge(per_image=False)',
}
MULTICLASS = {
    'ce': 'cross_entropy',
    'ce_mean_all': "cross_entropy(divide_by='all')",
    'ce_sum': "cross_entropy(divide_by='nothing')",
    'ce_weighted': 'cross_entropy',
    'ce_weighted_mean_valid': "cross_entropy(divide_by='valid')",
    'ce_label_smoothing': 'cross_entropy(label_smoothing=0.1)',
    'ce_label_smoothing_weighted': 'cross_entropy(label_smoothing=0.1)',
    'ohem_thresh': (
        "ohem_cross_entropy(threshold=0.7, min_kept=10, divide_by='all')"
    ),
    'ohem_thresh_mean_kept': 'ohem_cross_entropy(threshold=0.7, min_kept=10)',
    'ohem_kth': (
        "ohem_cross_entropy(threshold=0.05, min_kept=25, divide_by='all')"
    ),
    'ohem_kth_mean_kept': 'ohem_cross_entropy(threshold=0.05, min_kept=25)',
    'ohem_topk': (
        "ohem_cross_entropy(threshold=0.0, min_kept=40, divide_by='all')"
    ),
    'ohem_topk_mean_kept': 'ohem_cross_entropy(threshold=0.0, min_kept=40)',
    'bce_one_vs_all': 'binary_cross_entropy',
    'focal_softmax': 'focal',
    'focal_softmax_weighted': 'focal',
    'focal_one_vs_all': 'binary_focal(alpha=0.5)',
    'dice_multiclass': 'dice',
    'dice_multiclass_squared': 'dice(squared=True)',
    'dice_multiclass_per_image': 'dice(per_image=True)',
    'dice_mmseg': 'dice_mmseg',
    'dice_mmseg_naive': 'dice_mmseg(naive=True)',
    'tversky_mmseg': 'tversky(per_image=True)',
    'combo_multiclass': 'combo(beta=0.4)',
    'combo_multiclass_mean': 'combo(beta=0.4, average=True)',
    'lovasz_softmax_present': 'lovasz_softmax',
    'lovasz_softmax_present_per_image': 'lovasz_softmax(per_image=True)',
    'lovasz_softmax_all': 'lovasz_softmax(all_classes=True)',
    'lovasz_softmax_all_per_image': (
        'lovasz_softmax(per_image=True, all_classes=True)'
    ),
}


def value_and_gradient(name, prefix=''):
  """Returns the function from inputs to a loss and its gradient for logits."""

  def function(given):
    logits, labels = given[f'{prefix}logits'], given[f'{prefix}labels']
    objective = losses.build(
        (BINARY | MULTICLASS)[name],
        given['class_weight'] if 'weighted' in name else None,
    )

    def total(logits):
      channels = logits[..., None] if prefix else logits
      return objective(channels, labels)[0]

    return jax.jit(jax.value_and_grad(total), compiler_options=forward.QUICKLY)(
        logits
    )

  return function


def kept(name):
  """Returns the function from inputs to the pixels that have a gradient."""

  def function(given):
    _, gradient = value_and_gradient(name)(given)
    return (jnp.abs(gradient).max(-1) > 0).astype(jnp.uint8)

  return function


CASES = {
    'losses': FunctionCase(
        {
            **{
                (f'value_{name}', f'grad_{name}'): value_and_gradient(
                    name, prefix
                )
                for table, prefix in ((BINARY, 'binary_'), (MULTICLASS, ''))
                for name in table
            },
            **{
                f'mask_{name}': kept(name)
                for name in ('ohem_thresh', 'ohem_kth', 'ohem_topk')
            },
        },
        within=2e-4,
        slow=True,
    ),
}
