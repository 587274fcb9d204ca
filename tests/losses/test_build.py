import numpy as np
import pytest

from segjax import losses
from segjax.losses.cross_entropy import cross_entropy
from segjax.losses.dice import dice
from segjax.losses.ohem_cross_entropy import ohem_cross_entropy

LABELS = np.random.default_rng(0).integers(0, 3, (2, 4, 5)).astype(np.uint8)
LOGITS = np.random.default_rng(1).normal(size=(2, 4, 5, 3)).astype(np.float32)
WEIGHTS = np.array([1.0, 3.0, 0.5], np.float32)


def test_a_name_is_that_loss_and_its_own_part():
  total, parts = losses.build('cross_entropy')(LOGITS, LABELS)
  assert total == cross_entropy(LOGITS, LABELS)
  assert parts == {'cross_entropy': total}


def test_a_sum_adds_terms_times_their_factors_and_reports_them_without():
  text = '2 * cross_entropy(label_smoothing=0.1) + ohem_cross_entropy'
  total, parts = losses.build(text)(LOGITS, LABELS)
  smooth = cross_entropy(LOGITS, LABELS, label_smoothing=0.1)
  hard = ohem_cross_entropy(LOGITS, LABELS)
  assert parts == {'cross_entropy': smooth, 'ohem_cross_entropy': hard}
  np.testing.assert_allclose(total, 2 * smooth + hard, rtol=1e-6)


def test_the_order_of_terms_does_not_matter():
  one, _ = losses.build('0.5 * cross_entropy + ohem_cross_entropy')(
      LOGITS, LABELS
  )
  other, _ = losses.build('ohem_cross_entropy + 0.5 * cross_entropy')(
      LOGITS, LABELS
  )
  np.testing.assert_allclose(one, other, rtol=1e-6)


def test_arguments_are_those_of_their_term():
  text = 'cross_entropy + 0.5 * dice(squared=True)'
  total, parts = losses.build(text)(LOGITS, LABELS)
  overlap = dice(LOGITS, LABELS, squared=True)
  assert parts == {
      'cross_entropy': cross_entropy(LOGITS, LABELS),
      'dice': overlap,
  }
  np.testing.assert_allclose(
      total, parts['cross_entropy'] + 0.5 * overlap, rtol=1e-6
  )


def test_class_weights_reach_every_loss_that_takes_them():
  _, parts = losses.build('cross_entropy + ohem_cross_entropy', WEIGHTS)(
      LOGITS, LABELS
  )
  assert parts == {
      'cross_entropy': cross_entropy(LOGITS, LABELS, class_weights=WEIGHTS),
      'ohem_cross_entropy': ohem_cross_entropy(
          LOGITS, LABELS, class_weights=WEIGHTS
      ),
  }


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('crossentropy', "no loss 'crossentropy'. Known: .*, cross_entropy, "),
        ('cross_entropy + ice(1)', "no loss 'ice'. Known: batch_weighted_cro"),
        ('cross_entropy + dice(1)', r'used as dice\(\*, squared=False, per_im'),
        (
            'cross_entropy + cross_entropy(ignore=0)',
            'names cross_entropy twice',
        ),
        ('cross_entropy(smoothing=0.1)', r"'smoothing'. .*label_smoothing=0.0"),
        ('cross_entropy(0.1)', r'It is used as cross_entropy\(\*, label_smo'),
        ('cross_entropy(class_weights=(1, 2, 3))', "'class_weights'"),
        ('cross_entropy(label_smoothing=x)', r'used as cross_entropy\('),
        ('cross_entropy +', 'Cannot read the loss'),
        ('', 'Cannot read the loss'),
        ('cross_entropy - ohem_cross_entropy', 'no loss'),
        ('cross_entropy * 2', 'no loss'),
        ('2', "no loss '2'"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_can(text, message):
  with pytest.raises(ValueError, match=message):
    losses.build(text)


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        ('dice_mmseg', 'dice_mmseg'),
        ('cross_entropy + dice_mmseg', 'dice_mmseg'),
        ('binary_cross_entropy + 0.5 * lovasz_hinge', 'lovasz_hinge'),
    ],
)
def test_class_weights_that_a_term_does_not_take_are_refused(text, name):
  losses.build(text)
  with pytest.raises(ValueError, match=f'take no class weights, {name}'):
    losses.build(text, WEIGHTS)


MEANS_OVER_CLASSES = (
    'dice',
    'dice(per_image=True)',
    'tversky(power=0.75)',
    'lovasz_softmax',
    'lovasz_softmax(per_image=True)',
    'combo',
    'combo(average=True)',
    'binary_cross_entropy',
)


@pytest.mark.parametrize('text', MEANS_OVER_CLASSES)
def test_class_weights_are_those_of_the_mean_over_classes(text):
  def of(weights):
    return losses.build(text, np.float32(weights))(LOGITS, LABELS)[0]

  single = np.array([of(np.eye(3)[i]) for i in range(3)])
  plain, _ = losses.build(text)(LOGITS, LABELS)
  np.testing.assert_allclose(single.mean(), plain, rtol=1e-5)
  np.testing.assert_allclose(of([2.0, 2.0, 2.0]), plain, rtol=1e-5)
  expected = single @ WEIGHTS / WEIGHTS.sum()
  np.testing.assert_allclose(of(WEIGHTS), expected, rtol=1e-5)
  assert abs(expected - plain) > 1e-3


def test_the_weighted_dice_loss_has_the_value_of_its_formula():
  shifted = np.exp(LOGITS - LOGITS.max(-1, keepdims=True))
  probs = shifted / shifted.sum(-1, keepdims=True)
  target = np.eye(3)[LABELS]
  hits, sizes = ((x).sum((0, 1, 2)) for x in (probs * target, probs + target))
  each = 1 - (2 * hits + 1) / (sizes + 1)
  np.testing.assert_allclose(
      losses.build('dice', WEIGHTS)(LOGITS, LABELS)[0],
      (each * WEIGHTS).sum() / WEIGHTS.sum(),
      rtol=1e-5,
  )


def test_class_weights_of_one_channel_weigh_pixels_as_in_cross_entropy():
  logits, labels = LOGITS[..., :1], LABELS % 2
  weights = np.float32([1.0, 5.0])
  _, parts = losses.build('binary_cross_entropy + cross_entropy', weights)(
      logits, labels
  )
  np.testing.assert_allclose(
      parts['binary_cross_entropy'], parts['cross_entropy'], rtol=1e-5
  )


def test_factors_of_classes_multiply_the_focal_loss_of_pixels():
  logits, labels = LOGITS[..., :1], LABELS % 2
  both = losses.build('binary_focal')(logits, labels)[0]
  one, two = (
      losses.build('binary_focal', np.float32(weights))(logits, labels)[0]
      for weights in ([1, 0], [0, 1])
  )
  np.testing.assert_allclose(one + two, both, rtol=1e-5)
  of_both, _ = losses.build('binary_focal', np.float32([3, 5]))(logits, labels)
  np.testing.assert_allclose(of_both, 3 * one + 5 * two, rtol=1e-5)


@pytest.mark.parametrize('text', ['dice', 'tversky', 'lovasz_softmax', 'combo'])
def test_weights_of_two_classes_are_refused_where_only_one_counts(text):
  weighted = losses.build(f'cross_entropy + {text}', np.float32([1, 5]))
  with pytest.raises(ValueError, match='weights of 2 classes.*class 1 alone'):
    weighted(LOGITS[..., :1], LABELS % 2)


def test_weights_of_pixels_reach_the_losses_that_take_them():
  weights = np.random.default_rng(2).uniform(size=LABELS.shape)
  objective = losses.build('cross_entropy + dice')
  _, parts = objective(LOGITS, LABELS, weights)
  assert parts == {
      'cross_entropy': cross_entropy(LOGITS, LABELS, pixel_weights=weights),
      'dice': dice(LOGITS, LABELS),
  }


def test_weights_of_pixels_that_no_loss_takes_are_refused():
  objective = losses.build('dice + focal')
  objective(LOGITS, LABELS)
  with pytest.raises(ValueError, match='takes weights of pixels.* add cross_e'):
    objective(LOGITS, LABELS, np.ones(LABELS.shape))
