import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax import optim
from segjax.models import fasterseg

CLASSES = 4
BRANCHES = (((2, 1), (0, 1), (6,)), ((2,), (0,), ()))
SMALL = dict(features=2, branches=BRANCHES, stem_width=6, head_width=6)


def create(**fields):
  return models.create('fasterseg', CLASSES, **{**SMALL, **fields})


def shapes(model, size=(64, 96)):
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  return jax.eval_shape(model.init_with_output, jax.random.key(0), image)


@pytest.mark.parametrize(
    ('branches', 'count'), [(fasterseg.STUDENT, 3), (fasterseg.TEACHER, 4)]
)
def test_published_branches_begin_with_the_same_cells(branches, count):
  layers = fasterseg.shared(branches)
  assert layers[:count] == [[[0, 1]]] * count
  assert all([0, 1] not in groups for groups in layers[count:])
  assert layers[-1] in ([[0]], [[0], [1]])


def test_the_last_cells_of_equal_branches_are_their_own():
  branch = ((1, 2, 3), (0, 0, 1), (4, 4))
  assert fasterseg.shared((branch, branch)) == [
      [[0, 1]],
      [[0, 1]],
      [[0], [1]],
  ]


@pytest.mark.parametrize('size', [(7, 10), (8, 8)])
def test_operations_agree_on_the_size(size):
  x = jax.ShapeDtypeStruct((1, *size, 4), jnp.float32)
  for stride in (1, 2):
    for kind in fasterseg.OPERATIONS:
      module = fasterseg.Operation(kind, 6, stride)
      y, _ = jax.eval_shape(
          lambda x, module=module: module.init_with_output(
              jax.random.key(0), x, False
          ),
          x,
      )
      up = -(-size[0] // 2), -(-size[1] // 2)
      down = size[0] // 2, size[1] // 2
      wanted = (down if kind.endswith('downup') else up) if stride > 1 else size
      channels = 4 if (kind, stride) == ('skip', 1) else 6
      assert y.shape == (1, *wanted, channels)


def test_the_second_grid_of_a_skip_is_shifted():
  module = fasterseg.Operation('skip', 4, 2)
  x = np.random.default_rng(0).normal(size=(1, 5, 6, 3)).astype(np.float32)
  variables = module.init(jax.random.key(0), x, False)
  y = module.apply(variables, x, False)
  kernels = [
      variables['params'][f'conv{i}']['conv']['kernel'][0, 0] for i in (1, 2)
  ]
  grid = np.zeros((1, 3, 3, 3), np.float32)
  grid[:, :2] = x[:, 1::2, 1::2]
  expected = np.concatenate(
      [x[:, ::2, ::2] @ kernels[0], grid @ kernels[1]], -1
  )
  np.testing.assert_allclose(
      y, np.maximum(expected, 0) / np.sqrt(1 + 1e-5), rtol=1e-4, atol=1e-5
  )


def loss(student, teacher):
  out = {'logits': student}
  if teacher is not None:
    out['teacher_logits'] = teacher
  return fasterseg.loss(
      out,
      {},
      jax.random.key(0),
      base=lambda *_: (2.0, {}),
      distillation_weight=0.5,
  )


def test_the_student_loses_its_divergence_from_the_teacher():
  rng = np.random.default_rng(0)
  student, teacher = rng.normal(size=(2, 2, 3, 4, CLASSES)).astype(np.float32)

  def probabilities(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)

  p, q = probabilities(teacher), probabilities(student)
  expected = (p * np.log(p / q)).mean()
  total, parts = loss(student, teacher)
  np.testing.assert_allclose(parts['distillation'], expected, rtol=1e-5)
  np.testing.assert_allclose(total, 2 + 0.5 * expected, rtol=1e-6)
  assert loss(student, None) == (2.0, {})


def test_the_teacher_is_a_part_of_the_student_that_does_not_learn():
  model = create(teacher=BRANCHES)
  out, variables = shapes(model)
  assert 'teacher_logits' not in out
  taught, changed = jax.eval_shape(
      lambda v: model.apply(
          v, jnp.zeros((2, 64, 96, 3)), train=True, mutable=['batch_stats']
      ),
      variables,
  )
  assert taught['teacher_logits'].shape == taught['logits'].shape
  # A run of the teacher has what `init_from` puts there.
  teacher = create(role='teacher', stem_width=12, head_width=12)
  _, alone = shapes(teacher)
  for kind in ('params', 'batch_stats'):
    assert alone[kind]['teacher'] == variables[kind]['teacher']
  config = importlib.import_module('configs.fasterseg').get_config(
      'distill=True'
  )
  assert optim.factor(config.optim.factors, 'teacher/stem0/conv/kernel') == 0
  assert optim.factor(config.optim.factors, 'student/stem0/conv/kernel') == 1


def test_no_gradient_and_no_statistics_reach_the_teacher(random_variables):
  model = create(teacher=BRANCHES)
  variables = random_variables(model, (2, 32, 32, 3))
  image = np.random.default_rng(0).normal(size=(2, 32, 32, 3))

  def total(params):
    out, changed = model.apply(
        {**variables, 'params': params},
        image.astype(np.float32),
        train=True,
        mutable=['batch_stats'],
    )
    return loss(out['logits'], out['teacher_logits'])[0], changed

  gradient, changed = jax.jit(jax.grad(total, has_aux=True))(
      variables['params']
  )
  assert not any(x.any() for x in jax.tree.leaves(gradient['teacher']))
  jax.tree.map(
      np.testing.assert_array_equal,
      changed['batch_stats']['teacher'],
      variables['batch_stats']['teacher'],
  )


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(role='pupil'), "'student' and 'teacher'"),
        (dict(role='teacher', teacher=BRANCHES), 'learns from no other'),
        (dict(branches=(((1, 1), (0, 0), (4, 4)),)), 'one width less'),
        (dict(branches=(((1, 1), (1, 1), (4,)),)), 'begin with 0'),
        (dict(branches=(((1, 1), (0, 2), (4,)),)), 'one more'),
        (dict(branches=(((1, 5), (0, 0), (4,)),)), 'numbers of skip'),
    ],
)
def test_what_is_no_network_is_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    shapes(create(**fields))
