import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import cpnet

CLASSES = 3


def test_context_is_gathered_by_the_prior_and_by_its_complement():
  rng = np.random.default_rng(0)
  prior = rng.uniform(size=(2, 2, 3, 6)).astype(np.float32)
  value = rng.normal(size=(2, 2, 3, 4)).astype(np.float32)
  within, between = cpnet.gather(prior, value)
  for b, i, j in np.ndindex(2, 2, 3):
    pixels = value[b].reshape(6, 4)
    weights = prior[b, i, j][:, None]
    np.testing.assert_allclose(
        within[b, i, j], (weights * pixels).sum(0) / 6, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        between[b, i, j],
        ((1 - weights) * pixels).sum(0) / 6,
        rtol=1e-4,
        atol=1e-6,
    )


def test_pixels_of_one_label_on_the_coarser_grid_belong_together():
  labels = np.full((1, 4, 6), 9)
  # Rows 0 and 2, columns 0 and 3.
  labels[0, ::2, ::3] = [[1, 2], [255, 1]]
  ideal = cpnet.ideal_affinity(labels, (2, 2))
  np.testing.assert_array_equal(
      ideal,
      [
          np.array(
              [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]], bool
          )
      ],
  )


def test_a_perfect_prior_is_unsure_of_its_precision_alone():
  ideal = cpnet.ideal_affinity(np.array([[[0, 0, 0, 1, 1]]]), (1, 5))
  terms = cpnet.affinity_terms(ideal.astype(np.float32), ideal)
  # The pixel itself is predicted, and is none of its own partners.
  precision = -(3 * np.log(2 / 3) + 2 * np.log(1 / 2)) / 5
  np.testing.assert_allclose(terms.pop('precision'), precision, rtol=1e-6)
  assert terms == dict(unary=0, recall=0, specificity=0)


def test_a_pixel_without_partners_costs_a_constant():
  labels = np.array([[[0, 0, 1]]])
  ideal = cpnet.ideal_affinity(labels, (1, 3))
  prior = np.random.default_rng(0).uniform(0.2, 0.8, (1, 3, 3))
  terms = cpnet.affinity_terms(prior, ideal)
  known = -(np.log(prior[0, 0, 1]) + np.log(prior[0, 1, 0]))
  np.testing.assert_allclose(terms['recall'], (known + 100) / 3, rtol=1e-5)
  for name in ('recall', 'precision'):
    gradient = jax.grad(lambda p, n=name: cpnet.affinity_terms(p, ideal)[n])(
        prior
    )
    np.testing.assert_array_equal(gradient[0, 2], 0)
    assert np.isfinite(gradient).all()


def test_certain_priors_have_a_finite_gradient():
  scores = np.float32([[[1e4, -1e4], [-1e4, 1e4]]])
  ideal = np.array([[[False, True], [True, False]]])
  value, gradient = jax.value_and_grad(
      lambda x: sum(cpnet.affinity_terms(jax.nn.sigmoid(x), ideal).values())
  )(scores)
  assert 100 <= value < 500
  assert np.isfinite(gradient).all()


def loss(prior, labels, **options):
  return cpnet.loss(
      {'prior': prior, 'logits': jnp.zeros((*labels.shape, CLASSES))},
      {'label': labels},
      jax.random.key(0),
      base=lambda *_: (3.0, {'cross_entropy': 3.0}),
      **options,
  )


def test_the_affinity_is_that_of_the_labels_of_the_map():
  rng = np.random.default_rng(0)
  prior = rng.normal(size=(2, 2, 3, 6)).astype(np.float32)
  coarse = rng.integers(0, CLASSES, (2, 2, 3)).astype(np.uint8)
  coarse[0, 0, :2] = 255
  labels = np.repeat(np.repeat(coarse, 8, 1), 8, 2)
  total, parts = loss(prior, labels)
  flat = coarse.reshape(2, 6)
  expected = cpnet.affinity_terms(
      jax.nn.sigmoid(prior.reshape(2, 6, 6)), flat[:, :, None] == flat[:, None]
  )
  np.testing.assert_allclose(
      parts['affinity'], sum(expected.values()), rtol=1e-6
  )
  np.testing.assert_allclose(total, 3 + parts['affinity'], rtol=1e-6)
  half, _ = loss(prior, labels, affinity_weight=0.5)
  np.testing.assert_allclose(half, 3 + 0.5 * parts['affinity'], rtol=1e-6)
  wrong = labels.copy()
  wrong[:, :, :8][wrong[:, :, :8] == 255] = CLASSES + 1
  assert loss(prior, wrong)[0] == total


@pytest.mark.parametrize(
    'arg', ['shapes', 'camvid,small=True', 'ade20k', 'cityscapes', 'drive']
)
def test_images_crops_and_windows_of_a_config_have_one_size(arg):
  config = importlib.import_module('configs.cpnet').get_config(arg)
  height, width = config.model.sides
  crop = f'random_crop({height}, {width})'
  if height == width:
    crop = f'random_crop({height})'
  assert crop in config.preprocess.train
  assert config.predict.mode == 'slide'
  assert config.predict.window == (height, width)


def test_an_image_of_another_size_is_refused_with_what_would_fit():
  model = models.create(
      'cpnet', CLASSES, sides=(33, 41), backbone='resnet/tiny', features=8
  )
  with pytest.raises(ValueError, match='33 x 41 alone, and was given 33 x 49'):
    jax.eval_shape(
        model.init,
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, 33, 49, 3), jnp.float32),
    )


def test_each_pixel_sees_rows_and_columns_about_it():
  model = cpnet.Aggregation(4, 5)
  x = np.zeros((1, 15, 15, 4), np.float32)
  # Without its 3x3 convolution, which sees one pixel more on each side.
  variables = model.init(jax.random.key(0), x, False)
  params = jax.tree.map(np.ones_like, variables['params'])
  params['reduce']['conv']['kernel'] = np.pad(
      np.eye(4, dtype=np.float32)[None, None], ((1, 1), (1, 1), (0, 0), (0, 0))
  )
  params = jax.tree.map_with_path(
      lambda path, v: 0 * v if path[-1].key == 'bias' else v, params
  )
  x[0, 7, 7] = 1
  y = model.apply({**variables, 'params': params}, x, False)
  expected = np.zeros((15, 15))
  expected[5:10, 5:10] = 2  # Both orders of the strips reach all of it.
  np.testing.assert_allclose(y[0, ..., 0], expected / (1 + 1e-5), rtol=1e-4)
