"""Deformable convolutions: of torchvision 0.28 and ONNX, and of msracver."""

import functools

import jax
import jax.numpy as jnp

from segjax import models
from segjax.convert.rules.msracver import deformable_deeplab as rules
from segjax.kernels.window import Window
from segjax.ops.deform_conv import deform_conv
from tests.parity.case import Case
from tests.parity.case import FunctionCase
from tests.parity.case import inside
from tests.parity.case import returned

# Windows of the fixture of the operation.
WINDOWS = {
    'a': Window(padding=((1, 1),) * 2),
    'b': Window((2, 2), ((2, 2),) * 2, (2, 2)),
    'c': Window(padding=((2, 2),) * 2, dilation=(2, 2), groups=2),
}
# And of that of its gradients; the inputs that there are beside image, offset
# and kernel.
GRADIENTS = {
    'plain': (WINDOWS['a'], ()),
    'stride_dilation': (
        Window((2, 2), ((2, 2),) * 2, (2, 2), groups=2),
        ('bias',),
    ),
    'modulated': (WINDOWS['a'], ('bias', 'mask')),
    'modulated_dilation': (
        Window((2, 1), ((2, 2), (3, 3)), (2, 3)),
        ('mask',),
    ),
    'kernel_1x3': (Window((1, 2), ((0, 0), (1, 1))), ()),
    'zero_offsets': (WINDOWS['a'], ('bias', 'mask')),
}


@functools.partial(jax.jit, static_argnums=0)
def convolve(window, x, offset, weight, bias=0.0, mask=None):
  """Convolves by a kernel with PyTorch's order of axes."""
  kernel = weight.transpose(2, 3, 1, 0)
  return deform_conv(x, offset, kernel, window, mask=mask) + bias


def output(name):
  def compute(inputs):
    names = ('x', 'offset', 'weight', *(['bias'] if name == 'b' else ()))
    arguments = [inputs[f'{name}_in_{part}'] for part in names]
    return convolve(WINDOWS[name], *arguments)

  return compute


def with_gradients(name, window, more):
  """Output and gradients of a case, {names: function of the inputs}."""
  names = ('x', 'offset', 'weight', *more)

  def compute(inputs):
    arguments = {part: jnp.asarray(inputs[f'{part}_{name}']) for part in names}
    y, pull = jax.vjp(
        lambda arguments: convolve(window, **arguments), arguments
    )
    (gradients,) = pull(jnp.asarray(inputs[f'cotangent_{name}']))
    return y, *(gradients[part] for part in names)

  return {(f'out_{name}', *(f'grad_{part}_{name}' for part in names)): compute}


CASES = {
    'deform_conv_op': FunctionCase(
        {f'{name}_out': output(name) for name in WINDOWS}, within=1e-5
    ),
    'deform_conv_grad': FunctionCase(
        {
            names: function
            for name, (window, more) in GRADIENTS.items()
            for names, function in with_gradients(name, window, more).items()
        },
        within=1e-5,
    ),
    'deformable_deeplab_r101': Case(
        lambda spec: models.create('deformable_deeplab', spec['num_classes']),
        rules.RULES,
        {
            'res4b22_every64': inside('backbone', 'c4', every=64),
            'offset_5a': inside('backbone/stage4_0/conv2/conv/offset'),
            'res5c_every64': inside('backbone', 'c5', every=64),
            'stride_logits': inside('classifier'),
            'logits': returned('logits'),
        },
        parts=(
            'backbone',
            'backbone/stage4_0/conv2/conv/offset',
            'classifier',
        ),
    ),
}
