import contextlib
import itertools

import numpy as np
import pytest

from segjax import experiment
from segjax.data import image as images
from segjax.data import pipeline
from segjax.data.datasets import shapes
from segjax.data.parts import Mixed
from tests import tiny

SPEC = 'random_crop(4)|flip|photometric|normalize'
# Sets of 3 and of 8 examples.
MIX = [(range(3), 3.0), (range(3, 11), 1.0)]


class Numbers:
  """Examples whose label says which one it is."""

  def __init__(self, length=11):
    self.length = length

  def __len__(self):
    return self.length

  def __getitem__(self, index):
    rng = np.random.default_rng(index)
    return {
        'image': rng.integers(0, 256, (6, 6, 3), np.uint8),
        'label': np.full((6, 6), index, np.uint8),
        'name': str(index),
    }


def take(count, **options):
  options = {'first_step': 0, 'mix': MIX} | options
  batches = pipeline.train_batches(
      Numbers(), SPEC, batch_size=4, seed=3, **options
  )
  with contextlib.closing(batches):
    return list(itertools.islice(batches, count))


def drawn(batches):
  return [int(n) for batch in batches for n in batch['label'][:, 0, 0]]


def test_sets_are_drawn_as_often_as_their_weights_say():
  numbers = drawn(take(32))
  first = [n for n in numbers if n < 3]
  second = [n for n in numbers if n >= 3]
  assert len(first) == 3 * len(second)
  # Each set has epochs of its own.
  for epoch in (second[i : i + 8] for i in range(0, 32, 8)):
    assert sorted(epoch) == list(range(3, 11))
  for epoch in (first[i : i + 3] for i in range(0, 96, 3)):
    assert sorted(epoch) == [0, 1, 2]
  assert len({tuple(first[i : i + 3]) for i in range(0, 96, 3)}) > 1


def test_a_batch_depends_on_seed_and_step_alone():
  straight = take(6)
  resumed = take(3, first_step=3)
  for one, other in zip(straight[3:], resumed, strict=True):
    for name in ('image', 'label'):
      np.testing.assert_array_equal(one[name], other[name])
  # The random ops of an example differ from place to place.
  seen = {}
  for batch in straight:
    for image, label in zip(batch['image'], batch['label'], strict=True):
      seen.setdefault(int(label[0, 0]), set()).add(image.tobytes())
  assert all(len(crops) > 1 for n, crops in seen.items() if n < 3)


@pytest.mark.parametrize('hosts', [2, 4])
def test_hosts_share_the_same_global_batches(hosts):
  whole = take(3, first_step=1)
  parts = [take(3, first_step=1, num_hosts=hosts, host=h) for h in range(hosts)]
  for batch, *shares in zip(whole, *parts, strict=True):
    for name, array in batch.items():
      joined = np.concatenate([share[name] for share in shares])
      np.testing.assert_array_equal(joined, array)


def test_the_names_of_a_step_are_those_of_its_batch():
  batches = take(3)
  for step, batch in enumerate(batches):
    names = pipeline.example_names(
        Numbers(), batch_size=4, seed=3, step=step, mix=MIX
    )
    assert [int(name) for name in names] == drawn([batch])


def test_other_ways_to_choose_examples_are_refused():
  turns = pipeline.Turns(np.array([0, 1]))
  with pytest.raises(ValueError, match='set one of them alone'):
    take(1, turns=turns)


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
