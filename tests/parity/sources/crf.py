"""Dense CRFs with exact kernels, ConvCRF, and the layer of CRF-RNN."""

import jax
import jax.numpy as jnp

from segjax.layers.crf_rnn import CRFRNN
from segjax.losses.cross_entropy import cross_entropy
from segjax.ops import convcrf
from segjax.ops import crf
from segjax.ops import gaussian
from tests.parity.case import FunctionCase


def dense(iterations, how='symmetric', weights=(1.5, 3.0), itself=True):
  """The mean field of a Gaussian and a bilateral kernel.

  A name stands for a weight that the fixture holds.
  """

  @jax.jit
  def function(inputs):
    feats = crf.bilateral_features(inputs['image'], 20.0, 13.0)
    kernels = gaussian.spatial(3.0), gaussian.all_pairs(feats)
    if not itself:
      kernels = map(crf.without_self, kernels)
    valid = jnp.ones((*feats.shape[:2], 1))
    message = crf.message(
        [
            (inputs.get(weight, weight), crf.normalized(kernel, how, valid))
            for weight, kernel in zip(weights, kernels, strict=True)
        ]
    )
    unary = -inputs['unary']
    return jax.nn.softmax(crf.mean_field(unary, message, iterations))

  return function


def windows(
    window,
    blur,
    *,
    position=(3.0, 3.0),
    color=(10.0, 13.0, 0.0),
    how='none',
    weight=0.2,
    iterations=5,
    mix=False,
    softmax=True,
):
  """ConvCRF of two images; colours have weight, width, 1 / width in pixels."""

  @jax.jit
  def function(inputs):
    def one(pair):
      image, unary = pair
      feats = convcrf.features(image, 1 / position[1], 1 / color[1], color[2])
      kernels = list(zip((position[0], color[0]), feats, strict=True))
      message = convcrf.message(kernels, window, blur, how)
      if mix:
        message = convcrf.mixed(message, inputs['comp_weight'].T)
      logits = convcrf.mean_field(unary, message, iterations, weight=weight)
      return jax.nn.softmax(logits) if softmax else logits

    return jax.lax.map(one, (inputs['image'], inputs['unary']))

  return function


MATRICES = {
    'spatial': 'spatial_ker_weights',
    'bilateral': 'bilateral_ker_weights',
    'compatibility': 'compatibility_matrix',
}


def recurrent(iterations, what='logits'):
  """The layer of CRF-RNN: its logits, loss, or the gradient for one input."""
  layer = CRFRNN(iterations, widths=(20.0, 13.0, 3.0))

  def logits(inputs):
    params = {ours: inputs[theirs] for ours, theirs in MATRICES.items()}
    image, unary = inputs['image'][None], inputs['unary'][None]
    return layer.apply({'params': params}, unary, image)[0]

  def loss(inputs):
    return cross_entropy(logits(inputs)[None], inputs['labels'][None])

  def gradient(inputs):
    return jax.grad(lambda x: loss({**inputs, what: x}))(inputs[what])

  known = {'logits': logits, 'loss': loss}
  return jax.jit(known.get(what, gradient))


CASES = {
    'dense_crf': FunctionCase(
        {
            'q_symmetric_iter1': dense(1),
            'q_symmetric_iter5': dense(5),
            'q_symmetric_iter10': dense(10),
            'q_after_iter5': dense(5, 'after'),
            'q_noself_iter5': dense(5, itself=False),
            'q_unnormalised_iter5': dense(5, 'none', (0.02, 0.012)),
            'q_matrix_iter5': dense(5, weights=(1.5, 'compat_matrix')),
        },
        uncompared=tuple(
            f'permutohedral_{how}_iter5' for how in ('symmetric', 'after')
        ),
        slow=True,
    ),
    'convcrf': FunctionCase(
        {
            'out_default': windows(11, 4, softmax=False),
            'out_demo7': windows(7, 4),
            'out_demo7_iter1': windows(7, 4, iterations=1),
            'out_symmetric': windows(
                *(5, 1),
                position=(3.0, 1.5),
                color=(3.0, 13.0, 1 / 20),
                how='symmetric',
                weight=0.5,
            ),
            'out_convcomp': windows(7, 1, iterations=3, mix=True),
            'out_blur2': windows(
                5, 2, color=(10.0, 13.0, 1 / 20), softmax=False
            ),
        },
        slow=True,
    ),
    'crf_rnn': FunctionCase(
        {
            **{f'logits_iter{n}': recurrent(n) for n in (1, 5, 10)},
            'loss_iter5': recurrent(5, 'loss'),
            **{
                f'grad_{name}_iter5': recurrent(5, name)
                for name in ('unary', *MATRICES.values())
            },
        },
        uncompared=('permutohedral_logits_iter5',),
        slow=True,
    ),
}
