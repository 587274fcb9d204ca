r"""What other sources call the parts of our systems, as data.

`rules/<source>/<stem>.py` holds the `RULES` of one system or backbone as that
source writes it; the stem is that of its file in segjax/models or
segjax/backbones. A system inherits the rules of its backbone:
`under('backbone', resnet.RULES)`. Where the names differ between backbones,
`RULES` is a dict of rules by variant ('16_bn') or family ('resnet'); of a
system without a backbone, by its field `variant`.

Every tensor of a file has to go somewhere or to be dropped by a rule, and every
variable has to be filled once; otherwise the conversion fails with a list.

A rule is a pair `(pattern, target)`. The pattern is a regular expression for
the whole name of a tensor, or for its module: all of the name but the last
part. The first rule that matches holds.

  (r'layer(\d)\.0', r'stage\1/first')      all tensors of a module
  ('pos_embed', 'embed/positions')          one tensor
  (r'head\.ema\.bases', 'head/ema/bases')   one tensor, of any collection
  (r'fc|.*\.anchors', None)                 dropped on purpose

The target of one tensor is the path of a variable. That of a module is the path
of a module here; `layouts.py` says which variables its tensors are: 'weight' is
the `kernel`, `scale`, `embedding` or, of a PReLU, `slope`, whichever the model
has there, and 'running_mean' the `mean`. The engine finds the collection that
has such a variable. If two have one, the rule begins with the collection:
'moving/bases'.

A variable called `kernel` gets the order of axes that kernels have here. Their
order there is a matter of the source: a package of Keras or MXNet has
`LAYOUT = 'keras'` or `LAYOUT = 'mxnet'` in its `__init__.py`; the others have
PyTorch's order, as Caffe has. All other variables keep their axes. Axes of size
1 are added or removed as needed: [1, C, 1, 1] fills [C], and the kernel of a
convolution over one pixel that of a linear layer. Patterns match names without
MXNet's 'arg:' and 'aux:' and TensorFlow's ':0' and '/ExponentialMovingAverage'.

If two tensors are one variable, the second has a rule
`alias((pattern, target))`: they have to be equal, and both are written back. If
a variable is a function of one or more tensors, a `Joint` of `joints.py` stands
among the rules; its first argument is a pattern for the module's path here:

  inverse_std('stem/norm', 1e-4)              var from inv_std
  folded_norm('.*/norm', 1e-5)                a norm without statistics
  bias_in_mean('stage.*')                     a bias in front of a norm
  permuted('stem/conv', 'kernel', (2, 1, 0))  RGB from BGR
  *merged(r'block\d+', ('query', 'key', 'value'), 'qkv')
"""

import dataclasses
import importlib
import pkgutil

from segjax.convert.joints import Joint


def names():
  """Returns {source: [stem, ...]}, the systems and backbones with rules."""
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
  """Returns the rules of a source for a system or backbone.

  Args:
    source: name of a folder of this package.
    stem: name of a file in it, without its ending.
    backbone: 'family/variant', with or without options in parentheses, or the
      variant of a system without a backbone.

  Raises:
    ValueError: there are no such rules; lists those that there are.
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
      f'There are no rules for {stem!r} of {source!r} on {backbone!r}. Known'
      f' backbones: {", ".join(rules)}.'
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
  """Returns rules for second names of tensors that have a first name, too."""
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
