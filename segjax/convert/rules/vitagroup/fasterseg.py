"""FasterSeg from its authors, the student that they publish.

Files have the cells that branches share once for each branch.
"""

from segjax.convert.rules import alias
from segjax.convert.rules import conv_norm
from segjax.convert.rules import under


def operation(source, target):
  """Returns the rules of an `Operation` of the model."""
  return (
      (rf'{source}\.conv(\d)', rf'{target}/conv\N/conv'),
      (rf'{source}\.bn(\d)', rf'{target}/conv\N/norm'),
      (rf'{source}\.bn', f'{target}/norm'),
  )


def numbered(rules, groups):
  r"""Returns rules with \N for the group after the first `groups` ones."""
  return tuple(
      (source, target.replace(r'\N', rf'\{groups + 1}'))
      for source, target in rules
  )


def head(source, target):
  """Returns the rules of a head."""
  return (
      (rf'{source}\.conv_3x3\.conv', f'{target}/conv/conv'),
      (rf'{source}\.conv_3x3\.bn', f'{target}/conv/norm'),
      (rf'{source}\.conv_1x1', f'{target}/classifier'),
  )


def network(last_shared):
  """Returns the rules of a network of two branches.

  Args:
    last_shared: the last layer whose cell both branches share.
  """
  layers = '|'.join(map(str, range(last_shared + 1)))
  return (
      *alias(
          *numbered(
              operation(rf'cells\.({layers})-1\._op\._op', r'cell\1_0'), 1
          )
      ),
      *numbered(operation(r'cells\.(\d+)-(\d)\._op\._op', r'cell\1_\2'), 2),
      *conv_norm(r'stem\.0\.conv', 'stem0'),
      *numbered(operation(r'stem\.([12])', r'stem\1'), 1),
      *conv_norm(r'arms32\.0\.conv', 'arm2_1'),
      *conv_norm(r'refines32\.0\.conv', 'refine2_1'),
      *conv_norm(r'arms32\.1\.conv', 'arm2_0'),
      *conv_norm(r'refines32\.1\.conv', 'refine2_0'),
      *conv_norm(r'arms16\.conv', 'arm1_0'),
      *conv_norm(r'refines16\.conv', 'refine1_0'),
      *conv_norm(r'ffm\.conv_1x1', 'fuse', 'conv', 'bn'),
      # Its result is not used there.
      (r'ffm\.channel_attention.*', None),
      *head(r'heads(8|16|32)', r'head\1'),
  )


RULES = under('', network(2), 'student')
