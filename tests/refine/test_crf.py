import jax
import numpy as np
import pytest

from segjax import refine
from segjax.inference.views import Inference
from segjax.inference.views import predict
from segjax.ops import crf as ops
from segjax.ops import gaussian
from segjax.refine import dense_crf

RNG = np.random.default_rng(0)
IMAGE = np.repeat(np.repeat(np.uint8([[0, 90], [180, 255]]), 15, 0), 20, 1)
IMAGE = np.stack([IMAGE, 255 - IMAGE, IMAGE // 2], -1)
# Mostly right, and noisy.
TRUTH = np.eye(3)[np.repeat(np.repeat([[0, 1], [1, 2]], 15, 0), 20, 1)]
LOGITS = np.float32(2 * TRUTH + 1.5 * RNG.normal(size=TRUTH.shape))
PROBABILITIES = np.asarray(jax.nn.softmax(LOGITS))
DENSE = 'dense_crf(gaussian=(3.0, 2.0), bilateral=(5.0, 20.0, 13.0))'


EXAMPLE = {'raw': IMAGE}


def forward(batch):
  """Returns the image as the logits."""
  return {'logits': batch['image']}


def accuracy(probabilities):
  return (probabilities.argmax(-1) == TRUTH.argmax(-1)).mean()


@pytest.mark.parametrize(
    'text',
    [
        DENSE,
        DENSE[:-1] + ", method='lattice')",
        DENSE[:-1] + ", normalization='after', include_self=False,"
        " method='exact')",
        'dense_crf(gaussian=(3.0, 2.0), bilateral=())',
        'conv_crf(blur=1, iterations=3)',
    ],
)
def test_noise_within_a_colour_goes(text):
  better = refine.build(text)(EXAMPLE, PROBABILITIES)
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
      refine.build(DENSE)(EXAMPLE, PROBABILITIES), expected, atol=1e-5
  )


def test_the_border_that_is_padded_adds_nothing_to_the_lattice(monkeypatch):
  function = refine.build(DENSE[:-1] + ", method='lattice')")
  padded = function(EXAMPLE, PROBABILITIES)
  monkeypatch.setattr(dense_crf, 'SIDE', 1)
  np.testing.assert_allclose(
      padded, function(EXAMPLE, PROBABILITIES), atol=1e-5
  )


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'sparse',
            "no refinement 'sparse'. Known: cascade_psp, conv_crf, dense_crf",
        ),
        ('dense_crf(gaussian=(3.0,))', r'gaussian is \(weight, width\), not'),
        (
            'dense_crf(bilateral=3.0)',
            r'bilateral is \(weight, width, color width',
        ),
        ('dense_crf(gaussian=(3.0, 0.0))', 'positive widths'),
        ('dense_crf(gaussian=(), bilateral=())', 'both left out'),
        (
            "dense_crf(normalization='both')",
            "normalization='both' is not one of",
        ),
        ("dense_crf(method='fast')", "method='fast' is not one of"),
        ('dense_crf(iterations=0)', 'iterations=0 must be at least 1'),
        ('dense_crf(include_self=False)', "is for method='exact'"),
        ('conv_crf(window=4)', 'window=4 must be an odd number'),
        ('conv_crf(bilateral=(1.0, 0.0, 0.0))', 'positive widths'),
    ],
)
def test_a_wrong_call_is_refused_with_the_options(text, message):
  with pytest.raises(ValueError, match=message):
    Inference(refine=text)


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
    refine.build('dense_crf')({'raw': image}, PROBABILITIES)


def test_as_many_weights_as_classes():
  weights = refine.build('dense_crf(gaussian=((1.0, 1.0), 2.0))')
  with pytest.raises(ValueError, match=r'3 or 3 times 3 .*, not \(2,\)'):
    weights(EXAMPLE, PROBABILITIES)


@pytest.mark.parametrize(
    'options', [{}, {'mode': 'slide', 'window': (11, 16), 'stride': (11, 16)}]
)
def test_inference_refines_the_probabilities_of_the_whole_image(options):
  example = {'image': LOGITS, 'size': IMAGE.shape[:2], 'raw': IMAGE}
  results = [
      next(
          predict(forward, [example], Inference(**options, refine=text), wanted)
      )[1]
      for text, wanted in (('', True), (DENSE, True), (DENSE, False))
  ]
  before, after, again = results
  expected = refine.build(DENSE)(EXAMPLE, before['probabilities'])
  np.testing.assert_allclose(after['probabilities'], expected, atol=1e-5)
  np.testing.assert_array_equal(after['labels'], expected.argmax(-1))
  np.testing.assert_array_equal(after['labels'], again['labels'])
  assert again.keys() == {'labels', 'unrefined'}


def test_other_outputs_than_probabilities_are_left_as_they_are():
  more = RNG.random(TRUTH.shape, np.float32)
  example = {
      'image': np.concatenate([LOGITS, more], -1),
      **{'size': IMAGE.shape[:2], 'raw': IMAGE},
  }

  def both(batch):
    image = batch['image']
    return {'logits': image[..., :3], 'variance': image[..., 3:]}

  ((_, prediction),) = predict(both, [example], Inference(refine=DENSE), True)
  refined = refine.build(DENSE)(EXAMPLE, PROBABILITIES)
  np.testing.assert_allclose(prediction['probabilities'], refined, atol=1e-5)
  np.testing.assert_allclose(prediction['variance'], more, rtol=1e-6)
  np.testing.assert_array_equal(prediction['labels'], refined.argmax(-1))


def test_an_image_that_no_crf_can_see_is_named():
  example = {
      **{'image': LOGITS, 'size': IMAGE.shape[:2], 'name': 'street/17'},
      'raw': IMAGE[..., :1],
  }
  with pytest.raises(ValueError, match='street/17: A CRF compares colours'):
    next(predict(forward, [example], Inference(refine='dense_crf')))
