import pytest

from segjax.layers import panoptic_decoder


@pytest.mark.parametrize(
    ('old', 'new', 'corners', 'factor'),
    [(17, 65, True, 4.0), (16, 64, False, 4.0), (16, 62, True, 61 / 15)],
)
def test_offsets_grow_as_pixels_move_apart(old, new, corners, factor):
  assert panoptic_decoder.scale((old, old), (new, new), corners) == (
      factor,
      factor,
  )
