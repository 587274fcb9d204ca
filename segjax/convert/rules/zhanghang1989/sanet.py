"""SANet on the backbone and the plain head of PyTorch-Encoding."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.zhanghang1989 import resnet


def head(i, level):
  """Returns the rules of the head of a stage."""
  source, target = rf'heads\.{i}', f'head_{level}'
  branches = (
      rule
      for branch, name in (('conv', 'main'), ('conv_atten', 'attention'))
      for rule in (
          *conv_norm(
              rf'{source}\.sa\.{branch}\.conv', f'{target}/attend/{name}1'
          ),
          *conv_norm(
              rf'{source}\.sa\.{branch}\.conv',
              f'{target}/attend/{name}2',
              '3',
              '4',
          ),
      )
  )
  return (
      *branches,
      (rf'{source}\.mask', f'{target}/classifier'),
      (rf'{source}\.cat', f'{target}/presence'),
  )


RULES = (
    (r'pretrained\.fc', None),
    *under('pretrained', resnet.RULES, 'backbone'),
    *head(0, 'c2'),
    *head(1, 'c3'),
    *head(2, 'c4'),
    *head(3, 'c5'),
    *conv_norm(r'fcn\.conv5', 'dense/conv'),
    (r'fcn\.conv5\.4', 'dense/classifier'),
)
