"""RoIAlign of torchvision."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops import roi_align as ops
from tests.parity.case import FunctionCase
from tests.parity.forward import quickly

MODES = tuple(
    f'aligned{aligned}_{samples}'
    for aligned in (0, 1)
    for samples in ('s1', 's2', 's3', 'adaptive')
)


def rows_first(boxes):
  """Returns boxes (x0, y0, x1, y1) as (y0, x0, y1, x1), or the other way."""
  return boxes[..., np.array([1, 0, 3, 2])]


def aligned(features, rois, mode):
  """Reads boxes (image, x0, y0, x1, y1) from the maps of their images."""
  of_image = rois[:, 0].astype(int)
  samples = re.fullmatch(r'aligned(\d)_(?:s(\d)|adaptive)', mode).groups()
  return ops.roi_align(
      features[of_image],
      jnp.asarray(rows_first(rois[:, 1:]))[:, None],
      (7, 5),
      scale=0.25,
      sampling=int(samples[1] or 0),
      aligned=samples[0] == '1',
  )[:, 0]


def output(mode):
  return lambda inputs: quickly(aligned, mode=mode)(
      inputs['features'], inputs['rois']
  )


def gradient(mode):
  def compute(inputs):
    def total(features):
      out = aligned(features, inputs['rois'], mode)
      return (out * inputs['cotangent']).sum()

    return jax.grad(total)(inputs['features'])

  return quickly(compute)


CASES = {
    'roi_align_op': FunctionCase(
        {
            f'{prefix}{mode}': function(mode)
            for mode in MODES
            if mode not in ('aligned0_s3', 'aligned1_s1')
            for prefix, function in (
                ('out_', output),
                ('grad_features_', gradient),
            )
        }
    )
}
