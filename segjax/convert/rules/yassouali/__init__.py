"""pytorch-segmentation by yassouali, on GitHub."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet


def resnet_rules(source, stem):
  """Returns the rules of torchvision's ResNet in a module.

  Args:
    source: name of the module there.
    stem: name in it of what comes before the first stage.
  """
  return under(source, (*conv_norm(stem, 'stem'), *resnet.STAGES), 'backbone')
