"""EoMT of transformers 5.24, with masks for the queries and without."""

import numpy as np

from segjax import models
from segjax.convert.rules.transformers import eomt as rules
from tests.parity import forward
from tests.parity.case import ProcedureCase


def network(spec):
  build = spec['build']
  options = dict(
      width=build['hidden_size'],
      depth=build['num_hidden_layers'],
      heads=build['num_attention_heads'],
      patch=build['patch_size'],
      image_size=(build['image_size'],) * 2,
      registers=build['num_register_tokens'],
      class_position=False,
  )
  options = ', '.join(f'{key}={value}' for key, value in options.items())
  return models.create(
      'eomt',
      spec['num_classes'],
      backbone=f'vit/dinov2_small({options})',
      queries=build['num_queries'],
      blocks=build['num_blocks'],
      upscales=build['num_upscale_blocks'],
      annealing=(0.2, 0.5, 0.8),
  )


def procedure(model, variables, image, given):
  """Predicts, and trains at the beginning of a run, with all masks."""
  del given
  last = 'backbone/block5'
  plain = forward.call(
      model,
      variables,
      image,
      parts=('backbone/norm', f'{last}/attention', f'{last}/reduce'),
  )
  masked = forward.call(
      model,
      variables,
      image,
      train=True,
      streams={'sample': 0},
      progress=np.float32(0),
  ).out
  return {
      'class_logits': plain.out['class_logits'],
      'mask_logits': plain.out['mask_logits'],
      'tokens_every3': plain.parts['backbone/norm'][0][..., ::3],
      'last_attention_every4': plain.parts[f'{last}/attention'][..., ::4],
      'last_mlp_every4': plain.parts[f'{last}/reduce'][..., ::4],
      **{
          f'masked_{kind}_logits_{i}': logits
          for kind in ('class', 'mask')
          for i, logits in enumerate(masked[f'layer_{kind}_logits'])
      },
  }


CASES = {'eomt_small': ProcedureCase(network, procedure, rules.RULES)}
