import numpy as np
import pytest

from segjax.artifacts import pictures
from segjax.data.label_map import IGNORE
from segjax.data.label_map import LabelMap

LABEL_MAP = LabelMap(
    names=('sky', 'traffic light', 'road'),
    colors=((10, 20, 230), (250, 170, 30), (128, 64, 128)),
    ids={0: 0, 1: 1, 2: 2},
)


def has_color(picture, color):
  return (picture == np.array(color)).all(-1).any()


def test_a_byte_image_is_shown_as_it_is():
  image = np.random.default_rng(0).integers(256, size=(5, 7, 3), dtype=np.uint8)
  np.testing.assert_array_equal(pictures.displayable(image), image)


@pytest.mark.parametrize('dtype', [bool, np.uint8, np.uint16, np.int32, float])
@pytest.mark.parametrize('channels', [(), (1,), (2,), (3,), (4,), (12,)])
def test_any_type_and_any_channels_become_rgb(dtype, channels):
  image = np.arange(6 * 8 * max(channels, default=1)).astype(dtype)
  picture = pictures.displayable(image.reshape(6, 8, *channels))
  assert picture.shape == (6, 8, 3)
  assert picture.dtype == np.uint8
  if channels in ((), (1,), (2,)):
    assert (picture == picture[..., :1]).all()


def test_a_wide_range_is_stretched_to_bytes_in_order():
  image = np.linspace(3000, 9000, 200).reshape(10, 20)
  picture = pictures.displayable(image)[..., 0].ravel()
  assert picture[0] == 0
  assert picture[-1] == 255
  assert (np.diff(picture.astype(int)) >= 0).all()


@pytest.mark.parametrize('value', [0.0, 7.0, np.nan, np.inf])
def test_a_constant_or_broken_image_can_be_shown(value):
  assert pictures.displayable(np.full((4, 4, 1), value)).shape == (4, 4, 3)


@pytest.mark.parametrize('shape', [(4,), (2, 4, 4, 3), (0, 4, 3), (4, 4, 0)])
def test_what_is_not_an_image_is_refused(shape):
  with pytest.raises(ValueError, match=r'an image \[H, W, C\] is expected'):
    pictures.displayable(np.zeros(shape))


def test_every_class_gets_its_colour_and_ignored_is_neutral():
  picture = pictures.colorize([[0, 1], [2, IGNORE]], LABEL_MAP.colors)
  expected = [*LABEL_MAP.colors, pictures.IGNORED]
  np.testing.assert_array_equal(picture.reshape(4, 3), expected)
  assert picture.dtype == np.uint8


def test_ids_without_a_colour_are_named():
  with pytest.raises(
      ValueError, match=r'ids \[-1, 7\], expected 0 to 2 or 255'
  ):
    pictures.colorize([[0, 7], [-1, 1]], LABEL_MAP.colors)


def test_a_label_that_is_not_a_plane_is_refused():
  with pytest.raises(ValueError, match=r'a label \[H, W\] is expected'):
    pictures.colorize(np.zeros((1, 4, 4), int), LABEL_MAP.colors)


@pytest.mark.parametrize('alpha', [0.0, 0.5, 1.0])
def test_an_overlay_mixes_by_alpha_and_spares_ignored_pixels(alpha):
  image = np.full((2, 2, 3), 100, np.uint8)
  label = np.array([[0, 1], [2, IGNORE]])
  picture = pictures.overlay(image, label, LABEL_MAP, alpha, legend=False)
  mixed = (1 - alpha) * 100 + alpha * np.array(LABEL_MAP.colors)
  np.testing.assert_allclose(picture.reshape(4, 3)[:3], mixed, atol=0.5)
  assert (picture[1, 1] == 100).all()


@pytest.mark.parametrize('size', [(8, 8), (64, 96), (300, 2000)])
def test_the_legend_goes_below_an_unchanged_picture(size):
  image = np.zeros((*size, 3), np.uint8)
  label = np.zeros(size, np.uint8)
  label[0, 0], label[0, 1] = 1, IGNORE
  plain = pictures.overlay(image, label, LABEL_MAP, legend=False)
  picture = pictures.overlay(image, label, LABEL_MAP)
  np.testing.assert_array_equal(picture[: size[0], : size[1]], plain)
  assert picture.shape[0] > size[0]
  assert picture.shape[1] >= size[1]


def test_the_legend_lists_the_classes_present_and_no_others():
  image = np.zeros((20, 200, 3), np.uint8)
  label = np.full((20, 200), IGNORE, np.uint8)
  label[3, 3], label[4, 4] = 0, 2
  strip = pictures.overlay(image, label, LABEL_MAP)[20:]
  assert has_color(strip, LABEL_MAP.colors[0])
  assert has_color(strip, LABEL_MAP.colors[2])
  assert not has_color(strip, LABEL_MAP.colors[1])
  assert not has_color(strip, pictures.IGNORED)


def test_a_label_without_classes_gets_no_legend():
  label = np.full((4, 4), IGNORE)
  picture = pictures.overlay(np.zeros((4, 4, 3), np.uint8), label, LABEL_MAP)
  assert picture.shape == (4, 4, 3)


def test_a_panel_holds_image_label_and_prediction():
  image = np.full((6, 10, 3), 77, np.uint8)
  label = np.zeros((6, 10), np.uint8)
  prediction = np.full((6, 10), 2, np.int32)
  picture = pictures.panel(image, label, prediction, LABEL_MAP)
  assert picture.shape == (6, 38, 3)
  assert (picture[:, :10] == 77).all()
  assert (picture[:, 14:24] == LABEL_MAP.colors[0]).all()
  assert (picture[:, 28:] == LABEL_MAP.colors[2]).all()


def test_sizes_that_differ_are_named():
  image, label = np.zeros((6, 10, 3), np.uint8), np.zeros((6, 9), np.uint8)
  with pytest.raises(ValueError, match=r'image.*\(6, 10\).*label.*\(6, 9\)'):
    pictures.overlay(image, label, LABEL_MAP)
  with pytest.raises(ValueError, match=r'prediction.*\(6, 9\)'):
    pictures.panel(image, label[:, :9], label, LABEL_MAP)


def test_uncertainty_is_brighter_where_probabilities_vary_more():
  sure, torn = np.zeros(3), np.array([0.5, 0.5, 0.0])
  picture = pictures.uncertainty(np.array([[sure, torn**2, 4 * torn**2]]))
  assert picture.dtype == np.uint8
  assert picture.tolist() == [[0, 180, 255]]


def test_segments_of_a_class_differ_in_shade_and_void_is_light_grey():
  ids = np.zeros((12, 12), int)
  ids[:4], ids[4:8] = 1, 2
  picture = pictures.segments(ids, [1, 1], ((9, 9, 9), (200, 100, 0)))
  first, second, void = picture[1, 1], picture[5, 1], picture[10, 1]
  assert not np.array_equal(first, second)
  for shade in (first, second):  # Of the same hue.
    assert abs(int(shade[0]) - 2 * int(shade[1])) <= 2
    assert shade[2] == 0
  assert void.tolist() == [224] * 3
  assert picture[3, 1].tolist() == picture[7, 1].tolist() == [255] * 3


def test_objects_have_a_contour_around_their_holes_too():
  ring = np.zeros((40, 60), bool)
  ring[10:35, 20:50] = True
  ring[18:28, 30:40] = False
  image = np.full((40, 60, 3), 100, np.uint8)
  drawn = pictures.objects(image, [ring], [''], [(200, 0, 0)])
  assert drawn[22, 29].tolist() == [200, 0, 0]  # Beside the hole.
  assert drawn[22, 25].tolist() == [150, 50, 50]  # Inside, tinted.
  assert drawn[22, 35].tolist() == [100, 100, 100]  # In the hole.
