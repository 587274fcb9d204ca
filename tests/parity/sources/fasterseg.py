"""FasterSeg of VITA-Group/FasterSeg: student and teacher, and the search."""

import functools

import jax
import numpy as np

from segjax import models
from segjax.convert.rules.vitagroup import fasterseg as student
from segjax.convert.rules.vitagroup import fasterseg_search as searching
from segjax.convert.rules.vitagroup_teacher import fasterseg as teacher
from segjax.layers import expected_latency
from segjax.layers import slimmable
from segjax.models import fasterseg
from segjax.models import fasterseg_search
from tests.parity import forward
from tests.parity import reference
from tests.parity.case import Case
from tests.parity.case import FunctionCase
from tests.parity.case import ProcedureCase
from tests.parity.case import inside


def build(spec, **fields):
  return models.create('fasterseg', spec['num_classes'], **fields)


def network(build, rules, role):
  """The case of a network; heads at strides 16 and 32 are for training."""
  heads = {f'head{stride}': f'{role}/head{stride}' for stride in (8, 16, 32)}
  return Case(
      build,
      rules,
      {
          'logits_every2': lambda out, parts: out['logits'][:, ::2, ::2],
          'stem': inside(f'{role}/stem2', every=4),
          'ffm': inside(f'{role}/fuse', every=4),
          **{name: inside(path) for name, path in heads.items()},
      },
      parts=(f'{role}/stem2', f'{role}/fuse', *heads.values()),
  )


# What that code calls the operators in its table of latencies; it looks up
# 'conv_2x_downup' under the name of 'conv_2x'.
CLASSES = {
    'skip': 'FactorizedReduce',
    'conv': 'BasicResidual1x',
    'conv_downup': 'BasicResidual_downup_1x',
    'conv_2x': 'BasicResidual2x',
    'conv_2x_downup': 'BasicResidual2x',
}
SCALES = range(3)


def searched(spec):
  built = spec['build']
  return models.create(
      'fasterseg_search',
      spec['num_classes'],
      layers=built['layers'],
      features=built['Fch'],
      widths=(4, 8, 12),
      student_ends=8,
  )


def made_up_table(operators, salt):
  """The latencies of the fixture, which are functions of their names."""
  table = {}
  for name, operator in operators.items():
    kind, height, width, read, write, stride = operator
    there = CLASSES[kind]
    text = f'{there}_H{height}_W{width}_Cin{read}_Cout{write}_stride{stride}'
    if read == 3:
      text = text.replace(there, 'ConvNorm').replace(
          '_stride', '_kernel3_stride'
      )
    elif kind != 'skip':
      text += '_dilation1'
    table[name] = reference.generator(f'{salt}:{text}').uniform(0.05, 1.0)
  return table


def latencies(model, salt, uniform):
  """The expected latency by each part of the architecture, with gradients."""
  size = 256, 512
  sizes = dict(
      layers=model.layers,
      features=model.features,
      widths=model.widths,
      ends=model.student_ends,
  )
  table = made_up_table(expected_latency.operators(size, **sizes), salt)

  def latency(params, part):
    alphas = [params[f'alpha{s}'] for s in SCALES]
    betas = [None, params['beta1'], params['beta2']]
    chosen = model.fixed(-1)
    if part == 'ratio':
      chosen = [
          slimmable.sampled(params[f'ratio{s}'], uniform[s]) for s in SCALES
      ]
    alphas = [jax.nn.softmax(x * (part == 'alpha')) for x in alphas]
    betas = [None, *(jax.nn.softmax(x * (part == 'beta')) for x in betas[1:])]
    return expected_latency.expected_latency(
        table,
        size,
        alphas=alphas,
        betas=betas,
        chosen=chosen,
        published=True,
        **sizes,
    )

  return latency


def search(spec, variables, image, given):
  del variables
  model, image = searched(spec), reference.image(spec)
  salt = spec['input']['salt']
  variables = forward.fill(model, searching.rules(model.widths), spec, image)
  uniform = [given[f'uniform_{scale}'] for scale in SCALES]
  architecture = variables['params']['student']

  def drawn(params):
    return [
        slimmable.sampled(params[f'ratio{scale}'], uniform[scale])
        for scale in SCALES
    ]

  widths = drawn(architecture)
  passes = {
      'teacher': ('teacher', model.fixed(-1)),
      'student': ('student', widths),
      'student_min': ('student', model.fixed(0)),
  }
  computed = {'sampled_widths': np.concatenate([w.index for w in widths])}
  for name, (role, chosen) in passes.items():
    for train, prefix in ((False, ''), (True, 'train_')):
      (heads,) = forward.call(
          model,
          variables,
          image,
          [(role, chosen)],
          train=train,
          method='scores',
          whole=False,
      ).out
      computed |= {f'{prefix}{name}_{k}': v for k, v in heads.items()}

  def weighted(params):
    (heads,) = model.apply(
        {**variables, 'params': {**variables['params'], 'student': params}},
        image,
        [('student', drawn(params))],
        False,
        method='scores',
    )
    return sum(
        (
            x
            * reference.generator(f'{salt}:cotangent:{name}')
            .standard_normal(x.shape)
            .astype(np.float32)
        ).sum()
        for name, x in heads.items()
    )

  def add(prefix, gradient, parts):
    for name, x in gradient.items():
      if name[:-1] in parts:
        computed[f'{prefix}{name[:-1]}_{name[-1]}'] = x

  add('grad_', jax.grad(weighted)(architecture), ('alpha', 'beta', 'ratio'))
  latency = latencies(model, salt, uniform)
  for part in ('alpha', 'beta', 'ratio'):
    value, gradient = jax.value_and_grad(latency)(architecture, part)
    computed[f'latency_{part}'] = value
    add('grad_latency_', gradient, (part,))
  return computed


def branch(number, end):
  def compute(given):
    alphas, betas, ratios = (
        [given.get(f'{kind}_{scale}_{number}') for scale in SCALES]
        for kind in ('alpha', 'beta', 'ratio')
    )
    widths = (4, 6, 8, 10, 12) if ratios[0].shape[1] == 5 else (12,)
    operations, scales, after = fasterseg_search.read_branches(
        alphas, betas, ratios, widths, carry=True
    )[end]
    downs = [b - a for a, b in zip(scales, scales[1:], strict=False)]
    rows = operations, scales, (*downs, 0), (*after, 0)
    return np.array(rows).T

  return compute


CASES = {
    'fasterseg': network(build, student.RULES, 'student'),
    'fasterseg_teacher': network(
        functools.partial(
            build,
            role='teacher',
            branches=fasterseg.TEACHER,
            stem_width=12,
            head_width=12,
        ),
        teacher.RULES,
        'teacher',
    ),
    'fasterseg_supernet': ProcedureCase(lambda spec: spec, search),
    'fasterseg_decode': FunctionCase(
        {
            f'branch_{end}_{number}': branch(number, end)
            for end in SCALES
            for number in range(8)
        }
    ),
}
