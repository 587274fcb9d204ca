import numpy as np
import pytest

from segjax.data import values
from segjax.data.image import BadExample


def ramp(high, dtype):
  """Returns an image whose values go from 0 to `high`."""
  ramp = np.linspace(0, high, 40 * 50 * 3).reshape(40, 50, 3)
  return ramp.astype(dtype)


TRAINED = {
    '8 bit': (255, np.uint8),
    '12 bit': (4095, np.uint16),
    '16 bit': (65535, np.uint16),
    '0 to 1': (1, np.float32),
    '0 to 255': (255, np.float32),
    '-1 to 1': (-1, np.float32),
}


@pytest.mark.parametrize('trained', TRAINED)
@pytest.mark.parametrize('given', TRAINED)
def test_another_type_or_range_is_refused(trained, given):
  known = values.measure([ramp(*TRAINED[trained])] * 3)
  image = ramp(*TRAINED[given])
  alike = {frozenset(pair) for pair in (('0 to 1', '-1 to 1'),)}
  same = trained == given or frozenset((trained, given)) in alike
  if same or (trained, given) == ('16 bit', '12 bit'):
    known.check(image, 'a.png')
    return
  with pytest.raises(BadExample, match='a.png holds .* trained on'):
    known.check(image, 'a.png')


@pytest.mark.parametrize('trained', TRAINED)
@pytest.mark.parametrize('factor', [0, 1 / 16, 1 / 2, 1])
def test_dark_images_of_the_same_range_are_taken(trained, factor):
  high, dtype = TRAINED[trained]
  known = values.measure([ramp(high, dtype), ramp(high / 2, dtype)])
  known.check(ramp(high * factor / 2, dtype), 'a.png')


def test_brightness_leaves_out_what_is_not_finite_or_hot():
  image = np.full((100, 100, 1), 7.0, np.float32)
  image[0, :40] = np.nan
  image[1, :40] = np.inf
  image[2, :40] = 1e9
  assert values.brightness(image) == 7.0
  assert values.brightness(np.full((2, 2, 1), np.nan)) == 0.0


def test_all_types_of_a_sample_are_known():
  known = values.measure([ramp(9, np.uint8), ramp(900, np.uint16)])
  assert known.dtypes == ('uint16', 'uint8')
  known.check(ramp(9, np.uint8), 'a.png')
  with pytest.raises(BadExample, match='float32, but .* uint16 and uint8'):
    known.check(ramp(9, np.float32), 'a.png')
