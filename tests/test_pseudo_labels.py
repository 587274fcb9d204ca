"""From labelled images to masks of others, and to a run on both."""

import json
import sys
from unittest import mock

import numpy as np
from PIL import Image
import pytest

from segjax import experiment
from segjax import predict
from segjax import train
from segjax.artifacts import summaries
from segjax.artifacts.workdir import Workdir
from segjax.data import image as images
from segjax.data import label_map
from segjax.data.datasets import shapes
from segjax.predictor import Predictor
from tests import pixels
from tests import tiny

CONFIDENCE = 0.5
# Raw ids in the masks, which the model does not know.
CLASSES = {
    'classes': [{'name': 'ground', 'ids': [40]}, {'name': 'thing', 'ids': [90]}]
}


@pytest.fixture(scope='module', autouse=True)
def nothing_takes_long():
  with pytest.MonkeyPatch.context() as patch:
    pixels.replace_models(patch)
    patch.setattr(
        summaries,
        'Writer',
        lambda workdir: summaries.JsonLinesWriter(workdir.metrics),
    )
    patch.setitem(sys.modules, 'clu.periodic_actions', mock.MagicMock())
    yield


def write_images(folder, numbers, masks=True):
  scenes = shapes.load('train', size=(32, 48), length=16, difficulty=0.0)
  (folder / 'images').mkdir(parents=True)
  if masks:
    (folder / 'masks').mkdir()
  for i in numbers:
    images.write_png(folder / 'images' / f'{i}.png', scenes[i]['image'])
    if masks:
      raw = np.where(scenes[i]['label'] > 0, 90, 40).astype(np.uint8)
      images.write_png(folder / 'masks' / f'{i}.png', raw)


def configure(**changes):
  config = tiny.get_config('folder')
  config.preprocess.train = 'flip|random_crop(32, 48)|normalize'
  config.total_steps = config.eval_every = config.checkpoint_every = 8
  config.update(changes)
  return config


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """Two labelled splits, and a folder of images alone."""
  root = tmp_path_factory.mktemp('data')
  write_images(root / 'mine' / 'train', range(4))
  write_images(root / 'mine' / 'val', range(4, 6))
  (root / 'mine' / 'dataset.json').write_text(json.dumps(CLASSES))
  write_images(root / 'more' / 'train', range(6, 12), masks=False)
  return root


@pytest.fixture(scope='module')
def teacher(data):
  workdir = Workdir(data / 'teacher')
  train.run(configure(data_dir=str(data / 'mine')), workdir)
  return predict.load(workdir.path)


@pytest.fixture(scope='module')
def masks(data, teacher):
  folder = data / 'more' / 'train' / 'masks'
  predict.write(
      teacher,
      [data / 'more' / 'train' / 'images'],
      folder,
      min_confidence=CONFIDENCE + 0.1,
  )
  return folder


def test_pixels_without_a_sure_class_are_ignored(data, teacher, masks):
  kinds = set()
  for i in range(6, 12):
    image = images.read_image(data / 'more' / 'train' / 'images' / f'{i}.png')
    labels, probabilities = teacher(image)
    written = images.read_mask(masks / f'{i}.png')
    confidence = probabilities.max(-1)
    sure, unsure = confidence > 0.601, confidence < 0.599
    np.testing.assert_array_equal(written[sure], labels[sure])
    assert (written[unsure] == 255).all()
    kinds |= set(np.unique(written).tolist())
  assert kinds == {0, 1, 255}


def test_a_run_on_both_sets_scores_each_apart(data, masks):
  del masks
  write_images(data / 'more' / 'val', range(12, 14))
  # Its masks are of people, and so are the ids.
  (data / 'more' / 'val' / 'masks' / 'dataset.json').write_text(
      json.dumps(CLASSES)
  )
  mix = ((str(data / 'mine'), 1.0), (str(data / 'more'), 3.0))
  config = configure()
  config.dataset.mix = mix
  train_set = experiment.train_dataset(config)
  assert len(train_set) == 10
  assert set(np.unique(train_set[4]['label'])) <= {0, 1, 255}
  names = experiment.training(config).names(1)
  assert sum(name.startswith('more/') for name in names) == 6
  scores = train.run(config, Workdir(data / 'student'))
  alone = [scores[f'sets/{name}/accuracy'] for name in ('mine', 'more')]
  # The sets of two images each have equally many pixels.
  assert scores['accuracy'] == pytest.approx(np.mean(alone), abs=0.01)
  assert alone[0] != alone[1]
  saved = Workdir(data / 'student').read_score('val')
  assert saved['sets/mine/mIoU'] == scores['sets/mine/mIoU']


def test_masks_of_another_confidence_are_not_mixed_in(data, teacher, masks):
  folder = data / 'more' / 'train' / 'images'
  predict.write(teacher, [folder], masks, min_confidence=CONFIDENCE + 0.1)
  with pytest.raises(ValueError, match='exists already'):
    predict.write(teacher, [folder], masks, min_confidence=0.9)
  with pytest.raises(ValueError, match='exists already'):
    predict.write(teacher, [folder], masks)


def test_classes_of_somebody_else_are_not_overwritten(data, teacher, tmp_path):
  (tmp_path / 'dataset.json').write_text(json.dumps(CLASSES))
  folder = data / 'more' / 'train' / 'images'
  with pytest.raises(ValueError, match='names other classes'):
    predict.write(teacher, [folder], tmp_path, min_confidence=0.9)
  assert [path.name for path in tmp_path.iterdir()] == ['dataset.json']


def test_an_image_that_exif_turns_is_refused(teacher, tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 3
  picture = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
  picture.save(tmp_path / 'a.jpg', exif=exif)
  with pytest.raises(ValueError, match='EXIF orientation 3'):
    predict.write(
        teacher, [tmp_path / 'a.jpg'], tmp_path / 'out', min_confidence=0.9
    )


def test_classes_that_overlap_are_refused(teacher, data):
  overlapping = mock.Mock(spec=Predictor, task=teacher.task)
  overlapping.label_map = mock.Mock(overlapping=True)
  folder = data / 'more' / 'train' / 'images'
  with pytest.raises(ValueError, match='probabilities of one class a pixel'):
    predict.write(overlapping, [folder], data / 'out', min_confidence=0.9)


def test_written_classes_are_read_as_they_were():
  content = json.loads(json.dumps(label_map.content(shapes.LABEL_MAP)))
  read = label_map.parse(content, 'dataset.json')
  assert read.names == shapes.LABEL_MAP.names
  assert read.colors == shapes.LABEL_MAP.colors
  label = np.array([[0, 7, 255]], np.uint8)
  np.testing.assert_array_equal(read.apply(label, 'a.png'), label)
