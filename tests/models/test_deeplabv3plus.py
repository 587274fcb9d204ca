import functools

import jax
import numpy as np
import pytest

from segjax import models

FIELDS = dict(
    backbone='resnet/tiny(output_stride=16)', features=16, low_features=8
)
IMAGE = jax.ShapeDtypeStruct((2, 65, 97, 3), np.float32)


def initialised(**fields):
  """Outputs and parameters, as shapes."""
  model = models.create('deeplabv3plus', 5, **FIELDS, **fields)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), IMAGE
  )
  return out, variables['params']


def test_the_paper_has_no_auxiliary_head():
  out, params = initialised()
  assert out['aux'] == {}
  assert 'aux' not in params


def test_an_auxiliary_head_has_the_channels_that_are_asked_for():
  out, params = initialised(aux_features=24)
  assert out['aux']['c4'].shape == (2, 65, 97, 5)
  assert params['aux']['conv']['conv']['kernel'].shape[-1] == 24


@pytest.mark.parametrize('separable', [False, True])
def test_scores_are_computed_at_stride_4(separable):
  model = models.create('deeplabv3plus', 5, **FIELDS, separable=separable)
  _, collections = jax.eval_shape(
      lambda key, image: model.init_with_output(
          key, image, capture_intermediates=True, mutable=True
      ),
      jax.random.key(0),
      IMAGE,
  )
  scores = collections['intermediates']['classifier']['__call__'][0]
  assert scores.shape == (2, 17, 25, 5)
  refine = collections['params']['refine1']
  assert ('depthwise' in refine) == separable


def test_separable_convolutions_may_have_one_norm_and_follow_aspp():
  model = models.create(
      'deeplabv3plus',
      5,
      **FIELDS,
      between=False,
      aspp_refine=True,
      refinements=1,
  )
  params = jax.eval_shape(model.init, jax.random.key(0), IMAGE)['params']
  assert 'refine2' not in params
  for layer in (params['refine1'], params['aspp_refine']):
    assert set(layer['depthwise']) == {'conv'}
    assert set(layer['pointwise']) == {'conv', 'norm'}


def test_each_dropout_is_switched_on_alone(random_variables):
  image = jax.random.normal(jax.random.key(0), IMAGE.shape)
  rng = {'dropout': jax.random.key(1)}
  fresh = models.create('deeplabv3plus', 5, **FIELDS)
  variables = random_variables(fresh, image.shape)
  results = []
  for i in range(4):
    dropout = tuple(0.5 if i == j else 0.0 for j in range(3))
    model = models.create('deeplabv3plus', 5, **FIELDS, dropout=dropout)
    train = functools.partial(model.apply, train=True, mutable=['batch_stats'])
    out, _ = jax.jit(train)(variables, image, rngs=rng)
    results.append(out['logits'])
  for i in range(4):
    for j in range(i):
      assert not np.allclose(results[i], results[j])
