"""Hierarchical multi-scale attention of NVIDIA, and its loss."""

import functools

import jax
import jax.numpy as jnp

from configs import nvidia_hmsa as configs
from segjax import losses
from segjax import models
from segjax.convert.rules.nvidia import nvidia_hmsa as rules
from segjax.models import nvidia_hmsa
from segjax.ops.resize import resize
from segjax.tasks import semantic
from tests.parity import forward
from tests.parity.case import FunctionCase
from tests.parity.case import ProcedureCase

CONFIG = configs.get_config()
PIXEL, AUX = losses.build(CONFIG.loss), losses.build(CONFIG.aux_loss)


def build(spec):
  return models.create(
      'nvidia_hmsa', spec['num_classes'], backbone='hrnet/w18', dropout=0.0
  )


def outputs(model, variables, image, given):
  """Both scales in evaluation, the larger one in training, and the chain."""
  del given
  parts = {
      'network': None,
      'ocr_first32_s4': 'network/context',
      'aux_s4': 'network/coarse',
      'attn_s4': 'network/attention',
  }
  paths = [path or name for name, path in parts.items()]
  computed = {}
  for train, prefix in ((False, ''), (True, 'train_')):
    call = forward.call(
        model, variables, image, train=train, parts=paths, whole=False
    )
    for name, path in parts.items():
      if path:
        _, high = call.parts[path]
        computed[prefix + name] = high[..., :32]
    if not train:
      low, _ = call.parts['network']
      computed['logits'] = call.out['logits']
      computed['pred_05x'], computed['attn_05x'] = (
          low['logits'],
          low['attention'],
      )

  def apply(batch, key):
    del key
    return forward.call(
        model, variables, batch['image'], train=False, whole=False
    ).out

  chained = nvidia_hmsa.predict(model, apply, {'image': image}, None)
  return computed | {'nscale_logits': chained['logits']}


def mixed(inputs):
  """The outputs of the model from the maps at stride 4."""
  size = inputs['labels'].shape[1:3]
  sizes = {'hi': size, 'lo': tuple(side // 2 for side in size)}
  names = {'logits': 'logits', 'objects': 'aux', 'attention': 'attention'}
  low, high = (
      {
          name: resize(inputs[f'{theirs}_{scale}'], sizes[scale])
          for name, theirs in names.items()
      }
      for scale in ('lo', 'hi')
  )
  return nvidia_hmsa.combine(low, high)


@jax.jit
def training(inputs):
  """The loss of the config, and its parts."""
  total, parts = semantic.loss(
      mixed(inputs),
      {'label': inputs['labels']},
      None,
      pixel=PIXEL,
      aux=CONFIG.aux_weight.to_dict(),
      aux_pixel=AUX,
  )
  main = 0.5 * parts['binary_cross_entropy'] + 0.5 * parts['rmi']
  return total, {**parts, 'main': main}


def part(name):
  return lambda inputs: training(inputs)[1][name]


LEARNT = ('logits_hi', 'aux_hi', 'logits_lo', 'aux_lo', 'attention_lo')


@jax.jit
def gradients(inputs):
  learnt = {name: jnp.asarray(inputs[name]) for name in LEARNT}
  gradient = jax.grad(lambda chosen: training({**inputs, **chosen})[0])(learnt)
  return [gradient[name] for name in LEARNT]


@jax.jit
def pixel_loss(logits, labels):
  """The loss of the scores alone, its parts, and the gradient."""
  (total, parts), gradient = jax.value_and_grad(
      lambda logits: PIXEL(logits, labels), has_aux=True
  )(logits)
  return {
      'loss': total,
      'bce': parts['binary_cross_entropy'],
      'rmi': parts['rmi'],
      'grad': gradient,
  }


def on_noise(model, variables, image, given):
  """The loss of the image as scores."""
  del model, variables
  return pixel_loss(image, given['labels'])


@functools.cache
def rmi_of_class(index):
  """The RMI loss of one class, of logits and labels."""
  return jax.jit(
      lambda logits, labels: losses.build('rmi')(
          logits[..., index : index + 1],
          jnp.where(labels == 255, 255, labels == index),
      )[0]
  )


def on_smooth(inputs):
  computed = pixel_loss(inputs['logits'], inputs['labels'])
  gradient = computed['grad']
  return [
      computed['loss'],
      computed['bce'],
      computed['rmi'],
      gradient[:, ::2, ::2],
      jnp.abs(gradient).sum((1, 2)),
      jnp.stack(
          [
              rmi_of_class(k)(inputs['logits'], inputs['labels'])
              for k in range(gradient.shape[-1])
          ]
      ),
  ]


CASES = {
    'nvidia_hmsa': ProcedureCase(build, outputs, rules.RULES),
    'nvidia_hmsa_train': FunctionCase(
        {
            'joint_logits': lambda inputs: mixed(inputs)['logits'],
            'joint_aux': lambda inputs: mixed(inputs)['aux']['objects'],
            'loss': lambda inputs: training(inputs)[0],
            'loss_main': part('main'),
            'loss_aux': part('aux_objects'),
            'loss_low': part('aux_low'),
            'loss_high': part('aux_high'),
            tuple(f'grad_{name}' for name in LEARNT): gradients,
        }
    ),
    'nvidia_rmi_loss': ProcedureCase(lambda spec: None, on_noise, slow=False),
    'nvidia_rmi_loss_smooth': FunctionCase(
        {
            (
                'loss',
                'bce',
                'rmi',
                'grad_every2',
                'grad_sum_abs',
                'rmi_per_class',
            ): on_smooth
        }
    ),
}
