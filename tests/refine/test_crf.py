import jax
import numpy as np
import pytest

from segjax import inference
from segjax.inference import Inference
from segjax.ops import crf as ops
from segjax.ops import gaussian
from segjax.refine import crf

RNG = np.random.default_rng(0)
IMAGE = np.repeat(np.repeat(np.uint8([[0, 90], [180, 255]]), 15, 0), 20, 1)
IMAGE = np.stack([IMAGE, 255 - IMAGE, IMAGE // 2], -1)
# Mostly right, and noisy.
TRUTH = np.eye(3)[np.repeat(np.repeat([[0, 1], [1, 2]], 15, 0), 20, 1)]
LOGITS = np.float32(2 * TRUTH + 1.5 * RNG.normal(size=TRUTH.shape))
PROBABILITIES = np.asarray(jax.nn.softmax(LOGITS))
DENSE = 'dense(gaussian=(3.0, 2.0), bilateral=(5.0, 20.0, 13.0))'


def accuracy(probabilities):
  return (probabilities.argmax(-1) == TRUTH.argmax(-1)).mean()


@pytest.mark.parametrize(
    'text',
    [
        DENSE,
        DENSE[:-1] + ", method='lattice')",
        DENSE[:-1] + ", normalization='after', include_self=False,"
        " method='exact')",
        'dense(gaussian=(3.0, 2.0), bilateral=())',
        'convcrf(blur=1, iterations=3)',
    ],
)
def test_noise_within_a_colour_goes(text):
  better = crf.build(text)(PROBABILITIES, IMAGE)
  assert better.shape == PROBABILITIES.shape
  np.testing.assert_allclose(better.sum(-1), 1, atol=1e-5)
  assert accuracy(PROBABILITIES) < 0.9
  assert accuracy(better) > 0.92


def test_dense_is_the_mean_field_whatever_it_pads():
  valid = np.ones((*IMAGE.shape[:2], 1), np.float32)
  feats = ops.bilateral_features(IMAGE, 20.0, 13.0)
  message = ops.message(
      [
          (weight, ops.normalized(kernel, 'symmetric', valid))
          for weight, kernel in (
              (3.0, gaussian.spatial(2.0)),
              (5.0, gaussian.all_pairs(feats)),
          )
      ]
  )
  expected = jax.nn.softmax(
      ops.mean_field(np.log(PROBABILITIES.clip(1e-5)), message, 5)
  )
  np.testing.assert_allclose(
      crf.build(DENSE)(PROBABILITIES, IMAGE), expected, atol=1e-5
  )


def test_the_border_that_is_padded_adds_nothing_to_the_lattice(monkeypatch):
  function = crf.build(DENSE[:-1] + ", method='lattice')")
  padded = function(PROBABILITIES, IMAGE)
  monkeypatch.setattr(crf, 'SIDE', 1)
  np.testing.assert_allclose(padded, function(PROBABILITIES, IMAGE), atol=1e-5)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('sparse', "no CRF 'sparse'. Known: convcrf, dense"),
        ('dense(gaussian=(3.0,))', r'gaussian is \(weight, width\), not'),
        ('dense(bilateral=3.0)', r'bilateral is \(weight, width, color width'),
        ('dense(gaussian=(3.0, 0.0))', 'positive widths'),
        ('dense(gaussian=(), bilateral=())', 'both left out'),
        ("dense(normalization='both')", "normalization='both' is not one of"),
        ("dense(method='fast')", "method='fast' is not one of"),
        ('dense(iterations=0)', 'iterations=0 must be at least 1'),
        ('dense(include_self=False)', "is for method='exact'"),
        ('convcrf(window=4)', 'window=4 must be an odd number'),
        ('convcrf(bilateral=(1.0, 0.0, 0.0))', 'positive widths'),
    ],
)
def test_a_wrong_call_is_refused_with_the_options(text, message):
  with pytest.raises(ValueError, match=message):
    Inference(crf=text)


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (IMAGE[..., :1], r'needs RGB images.* \[30, 40, 1\] of uint8'),
        (IMAGE.astype(np.uint16), 'needs RGB images.* of uint16'),
        (IMAGE[:20], r'size of the image, \(20, 40\); these have \(30, 40\)'),
    ],
)
def test_images_without_its_colours_are_refused(image, message):
  with pytest.raises(ValueError, match=message):
    crf.build('dense')(PROBABILITIES, image)


def test_as_many_weights_as_classes():
  weights = crf.build('dense(gaussian=((1.0, 1.0), 2.0))')
  with pytest.raises(ValueError, match=r'3 or 3 times 3 .*, not \(2,\)'):
    weights(PROBABILITIES, IMAGE)


@pytest.mark.parametrize(
    'options', [{}, {'mode': 'slide', 'window': (11, 16), 'stride': (11, 16)}]
)
def test_inference_refines_the_probabilities_of_the_whole_image(options):
  example = {'image': LOGITS, 'size': IMAGE.shape[:2], 'raw': IMAGE}
  results = [
      next(
          inference.predict(
              lambda x: x, [example], Inference(**options, crf=text), wanted
          )
      )
      for text, wanted in (('', True), (DENSE, True), (DENSE, False))
  ]
  (_, _, before), (_, labels, after), (_, again, nothing) = results
  np.testing.assert_allclose(after, crf.build(DENSE)(before, IMAGE), atol=1e-5)
  np.testing.assert_array_equal(labels, after.argmax(-1))
  np.testing.assert_array_equal(labels, again)
  assert nothing is None


def test_what_follows_the_probabilities_is_left_as_it_is():
  more = RNG.random(TRUTH.shape, np.float32)
  example = {
      'image': np.concatenate([LOGITS, more], -1),
      **{'size': IMAGE.shape[:2], 'raw': IMAGE},
  }
  ((_, labels, soft),) = inference.predict(
      lambda x: x, [example], Inference(crf=DENSE), True, extra=3
  )
  refined = crf.build(DENSE)(PROBABILITIES, IMAGE)
  np.testing.assert_allclose(soft[..., :3], refined, atol=1e-5)
  np.testing.assert_allclose(soft[..., 3:], more, rtol=1e-6)
  np.testing.assert_array_equal(labels, refined.argmax(-1))


def test_an_image_that_no_crf_can_see_is_named():
  example = {
      **{'image': LOGITS, 'size': IMAGE.shape[:2], 'name': 'street/17'},
      'raw': IMAGE[..., :1],
  }
  with pytest.raises(ValueError, match='street/17: A CRF compares colours'):
    next(inference.predict(lambda x: x, [example], Inference(crf='dense')))
