import json

import jax
import numpy as np
import pytest
from werkzeug.test import Client

from segjax import demo
from segjax import experiment
from segjax import losses
from segjax import predict
from segjax import report
from segjax import train
from segjax.artifacts.workdir import Workdir
from segjax.data import image as images
from segjax.data import label_map as label_maps
from segjax.data import transforms
from segjax.data.datasets import folder
from segjax.data.datasets import shapes
from segjax.data.image import BadExample
from segjax.evaluation import multilabel as counting
from segjax.tasks import multilabel
from segjax.tasks import semantic
from tests import tiny
from tests.web import html

# Two classes that overlap, in bits 0 and 3; bit 7 is ignored.
CLASSES = {
    'overlapping': True,
    'classes': [{'name': 'object', 'ids': [0]}, {'name': 'left', 'ids': [3]}],
    'ignore': [7],
}


def overlapping():
  return label_maps.parse(CLASSES, 'dataset.json')


@pytest.fixture(scope='module')
def config(tmp_path_factory):
  root = tmp_path_factory.mktemp('data')
  for split, length in (('train', 8), ('val', 3)):
    for part in ('images', 'masks'):
      (root / split / part).mkdir(parents=True)
    for scene in shapes.load(split, size=(32, 48), length=length):
      mask = np.uint8(scene['label'] > 0)
      mask[:, :24] |= 1 << 3
      mask[scene['label'] == 255] = 1 << 7
      name = f'{scene["name"]}.png'
      images.write_png(root / split / 'images' / name, scene['image'])
      images.write_png(root / split / 'masks' / name, mask)
  (root / 'dataset.json').write_text(json.dumps(CLASSES))
  config = tiny.get_config()
  config.dataset.name = 'folder'
  config.dataset.options = {}
  config.data_dir = str(root)
  config.task = 'multilabel'
  config.loss = 'binary_cross_entropy + 0.5 * dice'
  return config


@pytest.fixture(scope='module')
def workdir(config, tmp_path_factory):
  workdir = Workdir(tmp_path_factory.mktemp('run'))
  train.run(config, workdir)
  return workdir


def test_a_run_learns_and_scores_each_class(config, workdir):
  metrics = tiny.read_metrics(workdir)
  first, last = metrics[2], metrics[config.total_steps]
  assert last['train/loss'] < first['train/loss']
  ious = [last['val/IoU/object'], last['val/IoU/left']]
  assert last['val/mIoU'] == pytest.approx(np.mean(ious))


def test_a_run_has_a_report_and_a_demo(config, workdir, tmp_path):
  report.write([workdir.path], tmp_path / 'report.html', count=1)
  page = html.Page((tmp_path / 'report.html').read_text())
  html.check(page)
  words = [text for _, text in page.find('p')]
  assert any('the task gives no pixel exactly one class' in x for x in words)
  assert page.find('article')

  client = Client(demo.Demo(predict.load(workdir.path)))
  example = folder.load('val', config.data_dir)[0]
  images.write_png(tmp_path / 'a.png', example['image'])
  answer = client.post(
      '/predict', data={'image': (tmp_path / 'a.png').open('rb')}
  ).json
  assert answer['files'] == ['a.png', 'a_overlay.png']
  told = client.get(f'/pixel/{answer["number"]}?y=0&x=0').json
  assert {entry['name'] for entry in told} == {'object', 'left'}


def test_written_masks_are_masks_of_the_same_kind(config, workdir, tmp_path):
  predictor = predict.load(workdir.path)
  example = folder.load('val', config.data_dir)[0]
  labels, probabilities = predictor(example['image'])
  np.testing.assert_array_equal(labels, probabilities > 0.5)
  assert labels.shape == (32, 48, 2)
  labels[:4] = 1  # Some pixels of both classes.
  scores = multilabel.scores(predictor.label_map)
  prediction = {'labels': labels, 'probabilities': probabilities}
  scores.write(
      tmp_path,
      {**example, 'raw': example['image']},
      prediction,
      probabilities=True,
  )
  names = {path.name for path in tmp_path.iterdir()}
  assert names == {*scores.files(example['name'], probabilities=True)}
  mask = images.read_mask(tmp_path / f'{example["name"]}.png')
  numbered = label_maps.LabelMap(
      ('object', 'left'), ((9, 9, 9), (0, 9, 0)), {0: 0, 1: 1}, overlapping=True
  )
  np.testing.assert_array_equal(numbered.apply(mask, 'a.png'), labels)


def test_bits_become_classes_and_unknown_ones_are_named():
  mask = np.uint8([[0, 1, 1 << 3, 9, 1 << 7 | 1]])
  label = overlapping().apply(mask, 'a.png')
  assert label.tolist() == [[[0, 0], [1, 0], [0, 1], [1, 1], [255, 255]]]
  with pytest.raises(BadExample, match=r'a.png: the bits \[1, 5\]'):
    overlapping().apply(np.uint8([[2, 1 | 1 << 5]]), 'a.png')


def test_a_folder_of_masks_a_class_means_the_same_as_bits(tmp_path):
  mask = np.uint8([[0, 1, 1 << 3], [9, 1 << 7, 0]])
  for way in ('bits', 'folders'):
    root = tmp_path / way
    classes = ('object', 'left', 'ignore') if way == 'folders' else ('',)
    for part in ('images', *(f'masks/{name}' for name in classes)):
      (root / 'train' / part).mkdir(parents=True)
    (root / 'dataset.json').write_text(json.dumps(CLASSES))
    image = np.zeros((2, 3, 3), np.uint8)
    images.write_png(root / 'train' / 'images' / 'a.png', image)
    masks = root / 'train' / 'masks'
    if way == 'bits':
      images.write_png(masks / 'a.png', mask)
      continue
    for name, bit in (('object', 0), ('left', 3), ('ignore', 7)):
      images.write_png(masks / name / 'a.png', 255 * (mask >> bit & 1))
  (first,), (second,) = (
      folder.load('train', tmp_path / way) for way in ('bits', 'folders')
  )
  np.testing.assert_array_equal(first['label'], second['label'])
  left = tmp_path / 'folders/train/masks/left/a.png'
  images.write_png(left, mask[:1])
  with pytest.raises(BadExample, match=r'left/a.png: .* \(2, 3\), this is'):
    folder.load('train', tmp_path / 'folders')[0]
  left.unlink()
  left.parent.rmdir()  # The class does not occur.
  (without,) = folder.load('train', tmp_path / 'folders')
  assert (without['label'][..., 1] != 1).all()
  np.testing.assert_array_equal(
      without['label'][..., 0], first['label'][..., 0]
  )


def test_the_loss_is_the_mean_of_those_of_the_classes():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(2, 4, 5, 3)).astype(np.float32)
  label = rng.choice(np.uint8([0, 1, 255]), (2, 4, 5, 3))
  pixel = losses.build('binary_cross_entropy + 0.5 * dice(squared=True)')
  out = {'logits': logits, 'aux': {'c4': logits[:, ::2, ::2]}}
  total, parts = multilabel.loss(
      out, {'label': label}, None, pixel=pixel, aux=0.4
  )
  expected = [pixel(logits[..., k : k + 1], label[..., k])[0] for k in range(3)]
  np.testing.assert_allclose(
      total - 0.4 * parts['aux_c4'], np.mean(expected), rtol=1e-6
  )


def test_scores_count_each_class_on_its_own():
  label = np.uint8([[[1, 0], [1, 1], [255, 255], [0, 0]]])
  found = np.uint8([[[1, 0], [0, 1], [1, 1], [1, 0]]])
  counts = counting.counts(found, label)
  np.testing.assert_array_equal(counts, [[1, 1], [2, 1], [2, 1]])
  scores = counting.scores(counts, ('a', 'b'))
  assert scores['IoU/a'] == pytest.approx(1 / 3)
  assert scores['mIoU'] == pytest.approx((1 / 3 + 1) / 2)
  assert scores['micro_IoU'] == pytest.approx(2 / 4)
  assert scores['precision/a'] == scores['recall/a'] == 0.5


def test_a_balanced_crop_lies_on_a_class():
  label = np.zeros((40, 40, 2), np.uint8)
  label[30, 35, 1] = 1
  (crop,) = transforms.parse('class_balanced_crop(8, 8)')
  features = {'image': np.zeros((40, 40, 3), np.uint8), 'label': label}
  for seed in range(3):
    cropped = crop.random_map(features, np.random.default_rng(seed))
    assert cropped['label'].shape == (8, 8, 2)
    assert cropped['label'].any()


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [
        ('task', 'semantic', "set config.task to 'multilabel'"),
        ('class_weights', 'auto', 'class_weights.*pixels of one class'),
        ('dataset.class_uniform', 0.5, 'class_uniform.*pixels of one class'),
    ],
)
def test_what_is_for_pixels_of_one_class_is_refused(
    config, field, value, message
):
  config = config.copy_and_resolve_references()
  config.update_from_flattened_dict({field: value})
  with pytest.raises(ValueError, match=message):
    experiment.training(config)


def test_classes_that_do_not_overlap_are_for_other_tasks():
  with pytest.raises(ValueError, match="config.task to 'semantic'"):
    multilabel.channels(label_maps.numbered(3))
  with pytest.raises(ValueError, match="config.task to 'multilabel'"):
    semantic.channels(overlapping())


def test_probabilities_are_sigmoids():
  logits = np.float32([[[[-1, 2]]]])
  out = multilabel.predict({'logits': logits, 'aux': {}})
  np.testing.assert_array_equal(out['logits'], logits)
  assert jax.tree.structure(out).num_leaves == 1
