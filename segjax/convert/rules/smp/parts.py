"""Parts that several systems of segmentation_models_pytorch have."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

# Encoder and head of all systems on ResNets.
ENDS = (
    *under('encoder', resnet.RULES, 'backbone'),
    (r'segmentation_head\.0', 'classifier'),
)


def block(source, target):
  """Returns the rules of a `DecoderBlock`, with scSE or without.

  Args:
    source: pattern of the block there, without groups.
    target: path of the block here.
  """
  return (
      *conv_norm(rf'{source}\.conv(\d)', rf'{target}/conv\1'),
      (
          rf'{source}\.attention(\d)\.attention\.cSE\.1',
          rf'{target}/scse\1/channels/squeeze',
      ),
      (
          rf'{source}\.attention(\d)\.attention\.cSE\.3',
          rf'{target}/scse\1/channels/excite',
      ),
      (
          rf'{source}\.attention(\d)\.attention\.sSE\.0',
          rf'{target}/scse\1/places',
      ),
  )


def last_block(source, target):
  """Returns the rules of a `DecoderBlock` without a skip.

  With scSE it has a first one there all the same, which it does not call.
  """
  return (rf'{source}\.attention1\..*', None), *block(source, target)
