r"""What the modules of other libraries are called here, as data.

`rules/<source>/<stem>.py` holds the `RULES` of one system or backbone as that
source writes it; the stem is its file's in segjax/models or segjax/backbones.
A system inherits the rules of its backbone: `under('backbone', resnet.RULES)`.

A rule is a pair `(pattern, replacement)` over paths of modules, without the
name of the tensor: `(r'layer(\d)\.0', r'stage\1/first')`. The pattern, a
regular expression, has to match the whole path; of several rules the first
that matches holds. The replacement None drops the module on purpose.

Where one module has other names with other backbones, `RULES` is a dict of
such rules, by variant ('16_bn') or family ('resnet') of the backbone.

A parameter of no layer that `convert/torch.py` knows, such as a table of
positions, has a rule over its whole name: `('pos_embed', 'embed/positions')`.
It goes to `params` with its axes as they are.
"""

import importlib
import pkgutil


def names():
  """Returns {source: [stem, ...]} of what there are rules for."""
  sources = [module.name for module in pkgutil.iter_modules(__path__)]
  return {
      source: [
          module.name
          for module in pkgutil.iter_modules(
              importlib.import_module(f'{__name__}.{source}').__path__
          )
      ]
      for source in sources
  }


def find(source, stem, backbone):
  """Returns the rules for a system or backbone as a source writes it.

  Args:
    source: folder of this package.
    stem: file in it.
    backbone: 'family/variant', with or without options in parentheses.

  Raises:
    ValueError: there are none; says what there is.
  """
  known = names()
  if source not in known:
    raise ValueError(
        f'There is no source {source!r}. Known: {", ".join(known)}.'
    )
  if stem not in known[source]:
    raise ValueError(
        f'There are no rules for {stem!r} of {source!r}. Known:'
        f' {", ".join(known[source])}.'
    )
  rules = importlib.import_module(f'{__name__}.{source}.{stem}').RULES
  if not isinstance(rules, dict):
    return rules
  family, _, variant = backbone.partition('(')[0].partition('/')
  for key in (variant, family):
    if key in rules:
      return rules[key]
  raise ValueError(
      f'The rules for {stem!r} of {source!r} know no backbone {backbone!r}, but'
      f' {", ".join(rules)}.'
  )


def under(prefix, rules, target=None):
  """Returns `rules` for modules in `prefix` there, in `target` or so here.

  The prefix '' stands for modules that lie at the top there.
  """
  target = target or prefix
  source = rf'{prefix}\.' if prefix else ''
  return tuple(
      (
          rf'{source}(?:{pattern})',
          None if replacement is None else f'{target}/{replacement}',
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
