"""DenseASPP from its authors, `denseASPP121.pkl` and `denseASPP161.pkl`.

Fields of the deeper one: `bottleneck=512, growth=128`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import densenet

RATES = (3, 6, 12, 18, 24)


def branch(source, target):
  """Returns the rules of an `AtrousBranch`."""
  return (
      (rf'{source}\.norm\.1', f'{target}/norm'),
      *conv_norm(source, f'{target}/reduce', r'conv\.1', r'norm\.2'),
      (rf'{source}\.conv\.2', f'{target}/atrous'),
  )


RULES = (
    *under('', densenet.RULES, 'backbone'),
    *(
        rule
        for i, rate in enumerate(RATES)
        for rule in branch(f'ASPP_{rate}', f'branch{i}')
    ),
    (r'classification\.1', 'classifier'),
)
