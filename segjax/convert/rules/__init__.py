r"""What other sources call the parts of our systems, as data.

`rules/<source>/<stem>.py` holds the `RULES` of one system or backbone as that
source writes it; the stem is that of its file in segjax/models or
segjax/backbones. A system inherits the rules of its backbone:
`under('backbone', resnet.RULES)`. Where the names differ between backbones,
`RULES` is a dict of rules by variant ('16_bn') or family ('resnet').

Every tensor of a file has to go somewhere or to be dropped by a rule, and every
variable has to be filled once; otherwise the conversion fails with a list.

A rule is a pair `(pattern, target)`. The pattern is a regular expression that
matches one of these as a whole; the first rule that matches holds:

  (r'layer(\d)\.0', r'stage\1/first')     a layer, with all of its tensors
  ('pos_embed', 'embed/positions')         one tensor, by its whole name
  (r'head\.ema\.bases', 'head/ema/bases')  of whatever collection
  (r'fc|.*\.anchors', None)                dropped

For a layer, `layouts.py` says which variable a tensor is: 'weight' a `kernel`,
`scale` or `embedding`, whichever the model has there, 'running_mean' a `mean`.
For one tensor, the target is the variable. The collection is the one that has
such a variable; where two have one, the rule names it: 'moving/bases'.

Axes: a variable called `kernel` gets the order of axes that kernels have here,
by the layout of its source: `LAYOUT = 'mxnet'` or 'keras' in the package's
`__init__.py`; without that, PyTorch's, which is Caffe's too. Axes of all other
variables stay as they are. Axes of size 1 come and go as the variable has them,
so that a Conv1d over one pixel fills a Dense. The names that rules see are
without MXNet's 'arg:' and 'aux:' and TensorFlow's ':0' and
'/ExponentialMovingAverage'; the average of a variable goes before its value.

Two tensors that are one variable are a rule and `alias(rule)`: they have to be
equal, and both are written back. Where a variable is another function of one
tensor or more, a `Joint` of `joints.py` stands among the rules:

  inverse_std('stem/norm', 1e-4)           var of inv_std
  folded_norm(r'.*/norm', 1e-5)            a norm without statistics
  bias_in_mean(r'stage.*')                 a bias in front of a norm
  permuted('stem/conv', 'kernel', (2, 1, 0))     RGB for BGR
  *merged(r'block\d+', ('query', 'key', 'value'), 'qkv')
"""

import dataclasses
import importlib
import pkgutil

from segjax.convert.joints import Joint


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
    backbone: 'family/variant'.

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
  family, _, variant = backbone.partition('/')
  for key in (variant, family):
    if key in rules:
      return rules[key]
  raise ValueError(
      f'The rules for {stem!r} of {source!r} know no backbone {backbone!r}, but'
      f' {", ".join(rules)}.'
  )


def layout(source):
  """Returns the name of the layout of a source's tensors."""
  package = importlib.import_module(f'{__name__}.{source}')
  return getattr(package, 'LAYOUT', 'torch')


def under(prefix, rules, target=None):
  """Returns rules for modules that are parts of another module.

  Args:
    prefix: pattern of that module in the source; '' if it is the whole.
    rules: for names without the prefix.
    target: path of the module here, by default the prefix.
  """
  target = target or prefix
  source = rf'{prefix}\.' if prefix else ''
  return tuple(_moved(rule, source, target) for rule in rules)


def _moved(rule, source, target):
  if isinstance(rule, Joint):
    module = f'{target}/(?:{rule.module})' if rule.module else target
    return dataclasses.replace(rule, module=module)
  pattern, place, *mark = rule
  place = None if place is None else f'{target}/{place}'
  return f'{source}(?:{pattern})', place, *mark


def alias(*rules):
  """Returns rules for second names of tensors that other rules place."""
  return tuple((pattern, target, 'alias') for pattern, target in rules)


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
