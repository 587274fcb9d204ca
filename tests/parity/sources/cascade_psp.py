"""CascadePSP of its authors: network, both steps, loss and measure."""

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.convert.rules.hkchengrex import cascade_psp as rules
from segjax.evaluation import boundary
from segjax.ops import mask_refinement as ops
from segjax.refine import cascade_psp
from tests.parity import forward
from tests.parity.case import FunctionCase
from tests.parity.case import ProcedureCase

# What the authors call an output, ours, and the stride that it had. They are
# in this order in the fixture of the loss.
OUTPUTS = {
    'out_224': ('logits', 1),
    'out_28': ('pass1_stride8', 8),
    'out_56': ('pass2_stride4', 4),
    'out_28_2': ('pass2_stride8', 8),
    'out_28_3': ('pass3_stride8', 8),
    'out_56_2': ('pass3_stride4', 4),
}
STEPS = {1: 1, 8: 4, 4: 2}  # Rows and columns that the fixture leaves out.


def coarse_mask(image):
  """Where the means of the first channel are positive, in cells of 8x8."""
  batch, height, width, _ = image.shape
  means = image[..., 0].reshape(batch, height // 8, 8, width // 8, 8)
  cells = means.mean((2, 4)) > 0
  return np.float32(cells.repeat(8, 1).repeat(8, 2))


def refined(model, variables, image, given):
  """All outputs of the network, and its masks in one step and in two."""
  del given
  mask = coarse_mask(image)
  evaluated, trained = (
      forward.call(model, variables, image, train=train, coarse_mask=mask).out
      for train in (False, True)
  )
  outputs = {}
  for name, (ours, stride) in OUTPUTS.items():
    found = evaluated['aux'].get(ours, evaluated['logits'])
    step = STEPS[stride]
    outputs[name] = found[:, ::step, ::step]
  outputs['train_out_28'] = trained['aux']['pass1_stride8'][:, ::4, ::4]
  refine = functools.partial(
      cascade_psp.refine_mask,
      functools.partial(cascade_psp.refined_twice, model, variables),
      image[0],
      mask[0],
      size=112 if len(image) > 1 else 128,
  )
  outputs['refined_global_local'] = refine()[None, ..., None]
  outputs['refined_global_only'] = refine(local=False)[None, ..., None]
  return outputs


@jax.jit
def loss(inputs):
  outputs = {
      name: (inputs[name], stride) for name, (_, stride) in OUTPUTS.items()
  }
  valid = jnp.ones(inputs['mask'].shape, bool)
  return ops.cascade_loss(outputs, inputs['mask'], valid)


def of_output(name):
  """The loss of one output; that of the last holds the gradient's."""

  def part(inputs):
    _, parts = loss(inputs)
    more = 5 * parts['gradient'] if name == 'out_224' else 0.0
    return parts[name] + more

  return part


def gradient(name):
  return lambda inputs: jax.grad(lambda x: loss({**inputs, name: x})[0])(
      inputs[name]
  )


def accuracy(prediction, label, **options):
  return lambda inputs: boundary.boundary_accuracy(
      inputs[prediction], inputs[label], **options
  )


def disk(radius):
  side = 2 * radius + 1
  return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def counts(inputs):
  label = inputs['mask'].astype(np.uint8)
  return [
      np.count_nonzero(boundary.near_outlines(label, radius))
      for radius in boundary.boundary_radii(label.shape)
  ]


VOID = dict(ignore=0, subtract_ignored=True)

CASES = {
    'cascade_psp': ProcedureCase(
        lambda spec: models.create('cascade_psp', spec['num_classes']),
        refined,
        rules.RULES,
        inputs=lambda image, given: {'coarse_mask': coarse_mask(image)},
    ),
    'cascade_psp_loss': FunctionCase(
        {
            'loss': lambda inputs: loss(inputs)[0],
            'loss_gradient': lambda inputs: loss(inputs)[1]['gradient'],
            'sobel_mask': lambda inputs: ops.gradient(inputs['mask']),
            'sobel_224': lambda inputs: ops.gradient(
                jax.nn.sigmoid(inputs['out_224'])
            ),
            **{
                name.replace('out', 'loss'): of_output(name) for name in OUTPUTS
            },
            **{f'grad_{name}': gradient(name) for name in OUTPUTS},
        }
    ),
    'mba': FunctionCase(
        {
            'coarse_mba': accuracy('coarse', 'mask'),
            'refined_mba': accuracy('refined', 'mask'),
            'coarse_mba_multi_class': accuracy(
                'coarse_classes', 'classes', **VOID
            ),
            'refined_mba_multi_class': accuracy(
                'refined_classes', 'classes', **VOID
            ),
            'radii': lambda inputs: boundary.boundary_radii(
                inputs['mask'].shape
            ),
            **{f'disk_{n}': lambda inputs, n=n: disk(n) for n in (1, 2, 3)},
            'boundary_pixels': counts,
        },
        within=1e-6,
    ),
}
