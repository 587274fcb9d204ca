r"""What the modules of other libraries are called here, as data.

`rules/<source>/<stem>.py` holds the `RULES` of one system or backbone as that
source writes it; the stem is its file's in segjax/models or segjax/backbones.
A system inherits the rules of its backbone: `under('backbone', resnet.RULES)`.

A rule is a pair `(pattern, replacement)` over paths of modules, without the
name of the tensor: `(r'layer(\d)\.0', r'stage\1/first')`. The pattern, a
regular expression, has to match the whole path; of several rules the first
that matches holds. The replacement None drops the module on purpose.
"""


def under(prefix, rules):
  """Returns `rules` for modules that lie in `prefix`, there and here."""
  return tuple(
      (
          rf'{prefix}\.(?:{pattern})',
          None if replacement is None else f'{prefix}/{replacement}',
      )
      for pattern, replacement in rules
  )


def conv_norm(source, target, conv='0', norm='1'):
  """Returns the rules of a `ConvNormAct`.

  Args:
    source: pattern of the module that holds convolution and norm there.
    target: path of the `ConvNormAct` here.
    conv: pattern of the convolution in `source`.
    norm: pattern of the norm in `source`.
  """
  return (
      (rf'{source}\.{conv}', f'{target}/conv'),
      (rf'{source}\.{norm}', f'{target}/norm'),
  )
