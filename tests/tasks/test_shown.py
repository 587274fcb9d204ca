"""What tasks tell of a prediction for a page: a picture, classes, a pixel."""

import numpy as np
import pytest

from segjax.artifacts import pictures
from segjax.data import label_map as label_maps
from segjax.tasks import boundaries
from segjax.tasks import instances
from segjax.tasks import multilabel
from segjax.tasks import panoptic
from segjax.tasks import refinement
from segjax.tasks import semantic
from tests.web import html

COLORS = ((0, 0, 0), (200, 0, 0), (0, 200, 0))
MAP = label_maps.LabelMap(
    ('ground', 'road', 'car'), COLORS, {0: 0}, things=(2,)
)
RAW = np.full((4, 6, 3), 90, np.uint8)


def test_a_label_map_tells_its_probabilities():
  probabilities = np.random.default_rng(0).dirichlet((1, 1, 1), (4, 6))
  labels = probabilities.argmax(-1).astype(np.uint8)
  scores = semantic.scores(MAP)
  prediction = {'labels': labels, 'probabilities': probabilities}
  told = scores.at(prediction, 2, 5)
  assert [i for i, _ in told] == np.argsort(-probabilities[2, 5]).tolist()
  assert told[0] == (labels[2, 5], probabilities[2, 5].max())
  ((i, value),) = scores.at({'labels': labels}, 2, 5)
  assert i == labels[2, 5]
  assert np.isnan(value)
  painted = scores.paint(RAW, prediction)
  assert painted[2, 5].tolist() == list(COLORS[labels[2, 5]])
  shares = dict(scores.found(prediction))
  assert shares[0] == f'{np.mean(labels == 0):.1%}'
  scores.add({'label': labels}, prediction)
  assert np.diag(scores.confusion()).sum() == labels.size


def test_a_few_pixels_are_not_told_as_none():
  labels = np.zeros((100, 100), np.uint8)
  labels[0, 0] = 1
  found = dict(semantic.scores(MAP).found({'labels': labels}))
  assert found == {0: '100.0%', 1: 'below 0.1%'}


def test_classes_that_overlap_are_told_apart():
  overlapping = label_maps.LabelMap(
      MAP.names, COLORS, {0: 0, 1: 1, 2: 2}, overlapping=True
  )
  labels = np.zeros((4, 6, 3), np.uint8)
  labels[:2, :, 1] = 1
  labels[:, :3, 2] = 1
  scores = multilabel.scores(overlapping)
  assert dict(scores.found({'labels': labels})) == {1: '50.0%', 2: '50.0%'}
  assert [i for i, _ in scores.at({'labels': labels}, 0, 0)] == [1, 2]
  assert scores.at({'labels': labels}, 3, 5) == []
  probabilities = np.full((4, 6, 3), (0.2, 0.9, 0.6), np.float32)
  told = scores.at({'labels': labels, 'probabilities': probabilities}, 0, 0)
  assert [i for i, _ in told] == [1, 2, 0]
  assert scores.paint(RAW, {'labels': labels})[0, 0].tolist() == [100, 100, 0]
  assert scores.confusion() is None


def test_segments_tell_their_class_and_score():
  segments = np.zeros((4, 6), np.int32)
  segments[:, 2:4], segments[:, 4:] = 1, 3
  prediction = {
      'segments': segments,
      'classes': np.array([2, 255, 2], np.uint8),
      'scores': np.array([0.25, 0, 0.75], np.float32),
      'labels': np.zeros((4, 6), np.uint8),
  }
  scores = panoptic.scores(MAP)
  assert scores.at(prediction, 1, 1) == []
  assert scores.at(prediction, 1, 5) == [(2, 0.75)]
  assert scores.found(prediction) == [(2, '2 segments')]
  painted = scores.paint(RAW, prediction)
  assert painted[1, 0].tolist() == list(pictures.IGNORED)


@pytest.mark.parametrize('with_masks', [True, False])
def test_objects_tell_their_class_and_score(with_masks):
  raw = np.zeros((40, 60, 3), np.uint8)
  prediction = {
      'boxes': np.array([[5, 5, 30, 30], [10, 10, 35, 50], [0, 0, 40, 60.0]]),
      'classes': np.array([2, 2, 2], np.uint8),
      'scores': np.array([0.6, 0.9, 0.1], np.float32),
  }
  if with_masks:
    masks = np.zeros((3, 14, 14), np.float32)
    masks[0] = masks[2] = 1
    masks[1, :, 7:] = 1  # The right half of its box.
    prediction['masks'] = masks
  scores = instances.scores(MAP)
  whole = [instances._whole(prediction, i, raw.shape[:2]) for i in range(2)]
  for y, x in ((20, 20), (20, 45), (33, 45), (2, 2), (39, 59), (6, 29)):
    expected = [0.9] * int(whole[1][y, x]) + [0.6] * int(whole[0][y, x])
    told = scores.at(prediction, y, x)
    assert [score for _, score in told] == pytest.approx(expected)
  assert scores.found(prediction) == [(2, '2 objects')]
  assert scores.paint(raw, prediction)[:, :, 1].any()
  assert scores.confusion() is None


def test_directions_and_masks_have_names_of_their_own():
  labels = np.ones((4, 6), np.uint8)
  scores = boundaries.scores(MAP)
  ((i, _),) = scores.at({'labels': labels}, 0, 0)
  assert scores.label_map.names[i] == boundaries.LABELS.names[1]
  assert refinement.scores(MAP).label_map.names == ('outside', 'inside')


def test_pictures_beside_each_other_come_apart():
  drawn = [np.full((5, 7, 3), i, np.uint8) for i in range(3)]
  apart = pictures.apart(pictures.beside(*drawn))
  for one, other in zip(apart, drawn, strict=True):
    np.testing.assert_array_equal(one, other)


def test_a_picture_of_few_colours_stays_exact_in_a_page():
  labels = np.kron(np.eye(4, dtype=int), np.ones((30, 40), int))
  picture = np.array(COLORS, np.uint8)[labels]
  np.testing.assert_array_equal(
      html.decode(pictures.data_uri(picture, 1000)), picture
  )
  reduced = html.decode(pictures.data_uri(picture, 40))
  assert reduced.shape == (30, 40, 3)
  assert len(np.unique(reduced.reshape(-1, 3), axis=0)) == 2
  photo = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
  uri = pictures.data_uri(photo, 30)
  assert uri.startswith('data:image/jpeg')
  assert html.decode(uri).shape == (20, 30, 3)
