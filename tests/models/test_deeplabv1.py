import jax
import numpy as np
import pytest

from segjax import models

FIELDS = dict(backbone='vgg/tiny', hidden=16, dropout=0.0)
# Sides of 32k + 1 pixels, for which all levels are aligned.
IMAGE = (1, 65, 97, 3)


def test_branches_have_the_strides_of_training_in_training():
  model = models.create('deeplabv1', 5, **FIELDS, multi_scale=True)
  shapes = {}
  for train in (True, False):
    _, collections = jax.eval_shape(
        lambda image, train=train: model.init_with_output(
            jax.random.key(0),
            image,
            train=train,
            capture_intermediates=True,
            mutable=True,
        ),
        jax.ShapeDtypeStruct(IMAGE, np.float32),
    )
    shapes[train] = {
        level: scores['__call__'][0].shape[1:3]
        for level, scores in collections['intermediates'].items()
        if level.startswith('branch')
    }
  assert set(shapes[True].values()) == {(9, 13)}
  assert shapes[False] == {
      'branch_image': (65, 97),
      'branch_c1': (33, 49),
      'branch_c2': (17, 25),
      'branch_c3': (9, 13),
      'branch_c4': (9, 13),
  }


def test_scores_of_prediction_are_those_of_training_every_eighth_pixel(
    random_variables,
):
  model = models.create('deeplabv1', 5, **FIELDS, multi_scale=True)
  image = jax.random.normal(jax.random.key(0), IMAGE)
  variables = random_variables(model, IMAGE)
  trained, predicted = (
      jax.jit(model.apply, static_argnames='train')(
          variables, image, train=train
      )['logits'][:, ::8, ::8]
      for train in (True, False)
  )
  np.testing.assert_allclose(
      trained, predicted, atol=1e-4 * np.abs(trained).max()
  )


@pytest.mark.parametrize(
    ('kernel', 'rate', 'view'),
    [(3, 12, 25), (7, 4, 25), (4, 4, 13), (4, 8, 25)],
)
def test_fc6_keeps_the_size_for_every_field_of_view(kernel, rate, view):
  assert rate * (kernel - 1) + 1 == view
  fields = dict(FIELDS, kernel=kernel, rate=rate)
  model = models.create('deeplabv1', 5, **fields)
  image = jax.ShapeDtypeStruct(IMAGE, np.float32)
  out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
  assert out['logits'].shape == (1, 65, 97, 5)
