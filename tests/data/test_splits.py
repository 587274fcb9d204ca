import numpy as np
import pytest

from segjax import experiment
from segjax.data import image as images
from segjax.data import statistics
from segjax.data.datasets import shapes
from segjax.data.mixture import Mixed
from tests import tiny


def test_a_config_trains_on_all_folds_but_the_one_that_it_evaluates():
  config = tiny.get_config()
  whole = experiment.train_dataset(config)
  held_out = []
  for fold in (1, 2, 3):
    config.dataset.fold = f'{fold}/3'
    train_set = experiment.train_dataset(config)
    eval_set = experiment.eval_dataset(config)
    trained = {train_set[i]['name'] for i in range(len(train_set))}
    evaluated = {eval_set[i]['name'] for i in range(len(eval_set))}
    assert not trained & evaluated
    assert len(trained | evaluated) == len(whole)
    assert eval_set.split == f'train-{fold}-of-3'
    assert experiment.about(config, whole.label_map)['split'] == eval_set.split
    assert eval_set.label_map == whole.label_map
    assert statistics.class_counts(eval_set)[:, :-1].sum(0).all()
    held_out += sorted(evaluated)
  assert sorted(held_out) == sorted(whole[i]['name'] for i in range(len(whole)))


def test_a_mask_is_read_once_for_both_sides_of_a_fold(monkeypatch):
  config = tiny.get_config()
  config.seed = 7  # No other test has these folds.
  config.dataset.fold = '1/4'
  reads = []
  count = statistics.class_counts
  monkeypatch.setattr(
      statistics,
      'class_counts',
      lambda dataset, **more: reads.append(1) or count(dataset, **more),
  )
  experiment.train_dataset(config)
  experiment.eval_dataset(config)
  assert len(reads) == 1


def write_set(root, splits, names='', ids=None):
  """Writes a folder of scenes, {split: first scene}, of two each."""
  for split, first in splits.items():
    for kind in ('images', 'masks'):
      (root / split / kind).mkdir(parents=True)
    scenes = shapes.load('train', size=(32, 48), length=8)
    for i in range(first, first + 2):
      label = np.minimum(scenes[i]['label'], 1)
      if ids:
        label = np.choose(label, ids).astype(np.uint8)
      images.write_png(root / split / 'images' / f'{i}.png', scenes[i]['image'])
      images.write_png(root / split / 'masks' / f'{i}.png', label)
  if names:
    (root / 'dataset.json').write_text(names)
  return str(root)


CLASSES = '{"classes": [{"name": "ground"}, {"name": "thing"}]}'
OTHER_IDS = (
    '{"classes": [{"name": "ground", "ids": [7]}, {"name": "thing", "ids":'
    ' [9]}]}'
)


@pytest.fixture
def config(tmp_path):
  """Two sets of one class each; the second has no split val."""
  config = tiny.get_config('folder')
  one = write_set(tmp_path / 'one', {'train': 0, 'val': 2}, CLASSES)
  two = write_set(tmp_path / 'two', {'train': 4}, OTHER_IDS, (7, 9))
  config.dataset.mix = ((one, 3.0), (two, 1.0))
  return config


def test_folders_make_one_data_set(config):
  dataset = experiment.train_dataset(config)
  names = [dataset[i]['name'] for i in range(len(dataset))]
  assert names == ['one/0', 'one/1', 'two/4', 'two/5']
  assert [dataset.source(i) for i in range(4)] == ['one', 'one', 'two', 'two']
  assert dataset.mix() == [(range(2), 3.0), (range(2, 4), 1.0)]
  assert dataset.label_map.names == ('ground', 'thing')
  assert set(np.unique(dataset[3]['label'])) == {0, 1}
  assert 'two/train/images/5.png' in dataset.where(3)
  assert experiment.eval_dataset(config).sources == ('one',)


def test_each_set_of_a_mixture_has_folds(config):
  config.dataset.fold = '1/2'
  sets = [experiment.train_dataset(config), experiment.eval_dataset(config)]
  for dataset in sets:
    assert isinstance(dataset, Mixed)
    assert dataset.sources == ('one', 'two')
    assert len(dataset) == 2
  first, second = ({d[0]['name'], d[1]['name']} for d in sets)
  assert not first & second


def test_a_set_of_another_name_is_read_as_what_it_is(config):
  (one, _), (two, _) = config.dataset.mix
  config.dataset.name = 'camvid'
  config.dataset.mix = ((f'folder:{one}', 1.0), (f'folder:{two}', 1.0))
  assert experiment.train_dataset(config).sources == ('one', 'two')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda mix: (mix[0], (mix[1][0], 0.0)), 'weights above 0'),
        (lambda mix: (mix[0][0], mix[1][0]), 'weights above 0'),
        (lambda mix: (mix[0], mix[0]), 'one twice'),
    ],
)
def test_what_is_no_mixture_is_refused(config, change, message):
  config.dataset.mix = change(config.dataset.mix)
  with pytest.raises(ValueError, match=message):
    experiment.train_dataset(config)


def test_sets_of_other_classes_or_without_the_split_are_refused(
    config, tmp_path
):
  third = write_set(
      tmp_path / 'third', {'train': 6}, CLASSES[:-2] + ', {"name": "x"}]}'
  )
  (one, _), (two, _) = config.dataset.mix
  config.dataset.mix = ((one, 1.0), (third, 1.0))
  with pytest.raises(ValueError, match='classes of third are ground, thing, x'):
    experiment.train_dataset(config)
  config.dataset.train_split = 'val'
  config.dataset.mix = ((one, 1.0), (two, 1.0))
  with pytest.raises(ValueError, match="mix: two has no split 'val'"):
    experiment.train_dataset(config)
