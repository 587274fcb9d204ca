import jax
import numpy as np
import pytest
from scipy import special

from segjax.inference import views
from segjax.inference.views import Inference

RNG = np.random.default_rng(0)
LOGITS = (4 * RNG.normal(size=(6, 8, 3))).astype(np.float32)


def predict(logits, **options):
  """The prediction of a model whose logits are its image."""
  example = {'image': logits, 'label': np.zeros(logits.shape[:2], np.uint8)}
  ((_, prediction),) = views.predict(
      lambda batch: {'logits': jax.numpy.asarray(batch['image'])},
      [example],
      Inference(**options),
      probabilities=True,
  )
  return prediction


@pytest.mark.parametrize('temperature', [0.5, 1.0, 3.0])
def test_probabilities_are_those_of_divided_logits(temperature):
  found = predict(LOGITS, temperature=temperature)
  expected = special.softmax(LOGITS / temperature, -1)
  np.testing.assert_allclose(found['probabilities'], expected, atol=1e-5)
  np.testing.assert_array_equal(found['labels'], LOGITS.argmax(-1))


def test_so_are_those_of_classes_that_overlap():
  found = predict(LOGITS, temperature=3.0, overlapping=True)
  np.testing.assert_allclose(
      found['probabilities'], special.expit(LOGITS / 3), atol=1e-5
  )
  np.testing.assert_array_equal(found['labels'], LOGITS > 0)


def test_the_temperature_is_that_of_the_mean_over_views():
  found = predict(LOGITS, temperature=2.0, flip=True)
  # The model sees single pixels, so the views agree.
  np.testing.assert_allclose(
      found['probabilities'], special.softmax(LOGITS / 2, -1), atol=1e-5
  )
  scaled = predict(LOGITS, temperature=2.0, scales=(1.0, 2.0))
  mean = predict(LOGITS, scales=(1.0, 2.0))['probabilities']
  expected = np.sqrt(mean) / np.sqrt(mean).sum(-1, keepdims=True)
  np.testing.assert_allclose(scaled['probabilities'], expected, atol=1e-5)


def test_the_threshold_is_for_probabilities_at_the_temperature():
  two = LOGITS[..., :2]
  found = predict(two, temperature=3.0, threshold=0.6)
  share = special.softmax(two / 3, -1)[..., 1]
  np.testing.assert_array_equal(found['labels'], share > 0.6)
  assert (found['labels'] != predict(two, threshold=0.6)['labels']).any()


def test_a_refinement_comes_first():
  raw = np.zeros((6, 8, 3), np.uint8)
  example = {'image': LOGITS, 'label': raw[..., 0], 'raw': raw}
  probabilities = []
  for temperature in (1.0, 2.0):
    options = Inference(
        temperature=temperature, refine='dense_crf(iterations=1)'
    )
    ((_, prediction),) = views.predict(
        lambda batch: {'logits': jax.numpy.asarray(batch['image'])},
        [example],
        options,
        probabilities=True,
    )
    probabilities.append(prediction['probabilities'])
  roots = np.sqrt(probabilities[0])
  expected = roots / roots.sum(-1, keepdims=True)
  np.testing.assert_allclose(probabilities[1], expected, atol=1e-5)


def test_no_temperature_is_refused():
  with pytest.raises(ValueError, match='temperature=-1.0 must be positive'):
    Inference(temperature=-1.0)
