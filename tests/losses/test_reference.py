"""Values and gradients of reference implementations, computed in float64.

PyTorch 2.13, mmsegmentation 1.2.2 (dice_mmseg, tversky, OHEM) and Berman's
LovaszSoftmax, differentiated by PyTorch.
"""

import pathlib

import jax
import numpy as np
import pytest

from segjax import losses

REFERENCE = np.load(pathlib.Path(__file__).parent / 'losses.npz')

# The gradients have the shape of the logits that the loss is of: [B, H, W] for
# one channel. Where the name says weighted, there are class weights.
CALLS = {
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
    'bce': 'binary_cross_entropy',
    'bce_pos_weight': 'binary_cross_entropy(pos_weight=3.0)',
    'bce_one_vs_all': 'binary_cross_entropy',
    'focal_softmax': 'focal',
    'focal_softmax_weighted': 'focal',
    'focal_binary': 'binary_focal',
    'focal_one_vs_all': 'binary_focal(alpha=0.5)',
    'dice_binary': 'dice',
    'dice_binary_squared': 'dice(squared=True)',
    'dice_binary_per_image': 'dice(per_image=True)',
    'dice_multiclass': 'dice',
    'dice_multiclass_squared': 'dice(squared=True)',
    'dice_multiclass_per_image': 'dice(per_image=True)',
    'dice_mmseg': 'dice_mmseg',
    'dice_mmseg_naive': 'dice_mmseg(naive=True)',
    'tversky_mmseg': 'tversky(per_image=True)',
    'tversky_binary': 'tversky',
    'focal_tversky_binary': 'tversky(power=0.75)',
    'combo_binary': 'combo(beta=0.4)',
    'combo_multiclass': 'combo(beta=0.4)',
    'combo_multiclass_mean': 'combo(beta=0.4, average=True)',
    'lovasz_hinge_per_image': 'lovasz_hinge',
    'lovasz_hinge_batch': 'lovasz_hinge(per_image=False)',
    'lovasz_softmax_present': 'lovasz_softmax',
    'lovasz_softmax_present_per_image': 'lovasz_softmax(per_image=True)',
    'lovasz_softmax_all': 'lovasz_softmax(all_classes=True)',
    'lovasz_softmax_all_per_image': (
        'lovasz_softmax(per_image=True, all_classes=True)'
    ),
}


def value_and_gradient(name):
  expected = REFERENCE[f'grad_{name}']
  if expected.ndim == 3:
    logits = REFERENCE['in_binary_logits'][..., None]
    labels = REFERENCE['in_binary_labels']
  else:
    logits, labels = REFERENCE['in_logits'], REFERENCE['in_labels']
  weights = REFERENCE['in_class_weight'] if 'weighted' in name else None
  objective = losses.build(CALLS[name], weights)
  value, gradient = jax.jit(
      jax.value_and_grad(lambda logits: objective(logits, labels)[0])
  )(logits)
  return value, gradient.reshape(expected.shape)


def test_every_value_there_is_has_a_call():
  values = {name for name in REFERENCE.files if name.startswith('value_')}
  assert values == {f'value_{name}' for name in CALLS}


@pytest.mark.parametrize('name', CALLS)
def test_value_and_gradient_equal_those_of_the_reference(name):
  value, gradient = value_and_gradient(name)
  expected = REFERENCE[f'grad_{name}']
  np.testing.assert_allclose(value, REFERENCE[f'value_{name}'], rtol=1e-6)
  np.testing.assert_allclose(
      gradient, expected, atol=4e-6 * np.abs(expected).max()
  )


@pytest.mark.parametrize('name', ['ohem_thresh', 'ohem_kth', 'ohem_topk'])
def test_ohem_keeps_the_pixels_that_the_reference_keeps(name):
  _, gradient = value_and_gradient(name)
  kept = np.abs(gradient).max(-1) > 0
  np.testing.assert_array_equal(kept, REFERENCE[f'mask_{name}'] == 1)
