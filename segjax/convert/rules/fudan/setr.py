"""SETR from its authors, `SETR_PUP_768x768_80k_cityscapes_bs_8` and others.

Their fields: `decoder='pup', aux_steps=1, aux_taps=(9, 14, 19, 23)` on
'vit/large(image_size=(768, 768))'. There are no rules for their other decoders,
which compute something else than those here. Biases in front of norms become
part of the means. Every head has a second classifier that is not used.
"""

from segjax.convert.joints import bias_in_mean
from segjax.convert.rules import under
from segjax.convert.rules.timm import vit


def _step(source, target, number):
  """Returns the rules of a step of a head."""
  return (
      (rf'{source}\.conv_{number}', f'{target}/step{number}/conv0/conv'),
      (rf'{source}\.syncbn_fc_{number}', f'{target}/step{number}/conv0/norm'),
  )


RULES = (
    *under('backbone', vit.RULES),
    (r'(?:decode_head|auxiliary_head\.\d)\.conv_seg', None),
    (r'decode_head\.norm', 'decoder/norm'),
    *sum((_step('decode_head', 'decoder', i) for i in range(4)), ()),
    (r'decode_head\.conv_4', 'decoder/classifier'),
    (r'auxiliary_head\.(\d)\.norm', r'aux\1/norm'),
    *_step(r'auxiliary_head\.(\d)', r'aux\1', 0),
    (r'auxiliary_head\.(\d)\.conv_1', r'aux\1/classifier'),
    bias_in_mean(r'(?:decoder|aux\d)/step\d/conv0'),
)
