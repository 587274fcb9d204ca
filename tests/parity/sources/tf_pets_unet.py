"""The U-Net of TensorFlow's tutorial, as Keras computes it."""

from segjax import models
from segjax.convert.rules.keras import tf_pets_unet
from tests.parity import forward
from tests.parity.case import ProcedureCase

# Channels of the backbone's levels that are compared.
TAPS = {
    'block_1_expand_relu_every48': ('c1_expanded', 48),
    'block_3_expand_relu_every36': ('c2_expanded', 36),
    'block_6_expand_relu_every24': ('c3_expanded', 24),
    'block_13_expand_relu_every24': ('c4_expanded', 24),
    'block_16_project_every5': ('c5', 5),
}


def procedure(model, variables, image, given):
  """Calls it in both modes, and looks at the statistics that training left."""
  del given
  parts = ('backbone', 'up1')
  tested = forward.call(model, variables, image, train=False, parts=parts)
  trained = forward.call(model, variables, image, train=True)
  # Their names have the channels of the first block; they are the last one's.
  left = trained.variables['batch_stats']['up4']['norm']
  return {
      **{
          name: tested.parts['backbone'][level][..., ::every]
          for name, (level, every) in TAPS.items()
      },
      'logits': tested.out['logits'],
      'up_512_every16': tested.parts['up1'][..., ::16],
      'train_logits_top64': trained.out['logits'][:, :64],
      'after_train_up_512_running_mean': left['mean'],
      'after_train_up_512_running_var': left['var'],
  }


CASES = {
    'tf_pets_unet': ProcedureCase(
        lambda spec: models.create('tf_pets_unet', spec['num_classes']),
        procedure,
        tf_pets_unet.RULES,
    ),
}
