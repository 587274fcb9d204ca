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
        ('cross_entropy + ice(1)', "no loss 'ice'. Known: binary_cross_entrop"),
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


def test_class_weights_that_no_loss_takes_are_refused():
  with pytest.raises(ValueError, match="No loss of 'dice' takes class weights"):
    losses.build('dice', WEIGHTS)


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
