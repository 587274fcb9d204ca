"""CascadePSP from its authors, and from their package segmentation-refinement.

Models that were trained on several devices have names with 'module.' before.
"""

from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet


def upsample(source, target):
  """Returns the rules of an `Upsample`."""
  return (
      (rf'{source}\.conv\.0', f'{target}/norm1'),
      (rf'{source}\.conv\.2', f'{target}/conv1'),
      (rf'{source}\.conv\.3', f'{target}/norm2'),
      (rf'{source}\.conv\.5', f'{target}/conv2'),
      (rf'{source}\.conv2\.0', f'{target}/norm3'),
      (rf'{source}\.conv2\.2', f'{target}/conv3'),
      (rf'{source}\.conv2\.3', f'{target}/norm4'),
      (rf'{source}\.conv2\.5', f'{target}/conv4'),
      (rf'{source}\.shortcut', f'{target}/shortcut'),
  )


RULES = (
    *under('feats', resnet.RULES, 'backbone'),
    (r'psp\.stages\.(\d)\.1', r'psp/level\1/conv'),
    (r'psp\.bottleneck', 'fuse/conv'),
    *upsample(r'up_(\d)', r'up\1'),
    (r'final_28\.0', 'head8/conv'),
    (r'final_28\.2', 'head8/classifier'),
    (r'final_56\.0', 'head4/conv'),
    (r'final_56\.2', 'head4/classifier'),
    (r'final_11', 'head1/conv'),
    (r'final_21', 'head1/classifier'),
)
