import itertools

import numpy as np
import pytest

from segjax.data import pipeline
from segjax.data.image import BadExample

SPEC = 'random_scale|random_crop(24, 32)|flip|photometric|normalize'
PLAIN = 'pad(40, 48)|normalize(0, 1)'


class Images:
  """Images of several sizes with their index in the first pixel."""

  def __init__(self, length=10, bad=()):
    self.length = length
    self.bad = bad

  def __len__(self):
    return self.length

  def __getitem__(self, i):
    if i in self.bad:
      raise BadExample(f'/data/{i}.png is truncated')
    rng = np.random.default_rng(i)
    height, width = 30 + i, 48 - i
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    label = rng.integers(0, 4, (height, width), np.uint8)
    image[0, 0] = i
    return {'image': image, 'label': label, 'name': f'{i}'}


def take(count, dataset=Images(), spec=SPEC, batch_size=4, seed=3, **options):
  batches = pipeline.train_batches(
      dataset, spec, batch_size=batch_size, seed=seed, **options
  )
  taken = list(itertools.islice(batches, count))
  batches.close()
  return taken


def indices(batches):
  return [int(i) for batch in batches for i in batch['image'][:, 0, 0, 0]]


def assert_same(a, b):
  assert a.keys() == b.keys() == {'image', 'label'}
  for key in a:
    np.testing.assert_array_equal(a[key], b[key])


def test_batches_have_static_shapes_and_types():
  for batch in take(6):
    assert batch.keys() == {'image', 'label'}
    assert batch['image'].shape == (4, 24, 32, 3)
    assert batch['image'].dtype == np.float32
    assert batch['label'].shape == (4, 24, 32)
    assert batch['label'].dtype == np.uint8


def test_images_are_larger_than_labels_by_the_context():
  spec = 'random_scale|random_crop(36, 44, halo=9)|flip|normalize'
  for batch in take(6, spec=spec):
    assert batch['image'].shape == (4, 54, 62, 3)
    assert batch['label'].shape == (4, 36, 44)


def test_weights_of_pixels_are_part_of_a_batch():
  spec = 'random_crop(36, 44)|flip|border_weights|normalize'
  for batch in take(2, spec=spec):
    assert batch['weight'].shape == batch['label'].shape == (4, 36, 44)
    assert batch['weight'].dtype == np.float32
    assert ((batch['weight'] > 0) == (batch['label'] != 255)).all()


@pytest.mark.parametrize('threads', [0, 1, 4])
def test_a_batch_depends_on_seed_and_step_alone(threads):
  straight = take(8)
  for step in (0, 3, 7):
    (jumped,) = take(1, first_step=step, threads=threads)
    assert_same(jumped, straight[step])
  (other,) = take(1, seed=4)
  assert (other['image'] != straight[0]['image']).any()


@pytest.mark.parametrize('hosts', [1, 2, 4])
def test_hosts_share_the_same_global_batches(hosts):
  whole = take(4, first_step=1)
  parts = [take(4, first_step=1, num_hosts=hosts, host=h) for h in range(hosts)]
  for batch, *shares in zip(whole, *parts, strict=True):
    assert {len(share['label']) for share in shares} == {4 // hosts}
    joined = {
        key: np.concatenate([share[key] for share in shares]) for key in batch
    }
    assert_same(joined, batch)


def test_each_epoch_has_every_example_once_in_a_new_order():
  seen = indices(take(30, spec=PLAIN, batch_size=1))
  epochs = [seen[:10], seen[10:20], seen[20:]]
  assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
  assert len({tuple(epoch) for epoch in epochs}) == 3


def test_each_epoch_and_each_example_has_its_own_draws():
  spec = 'random_crop(4, cat_max_ratio=1.0)|normalize(0, 1)'
  first, second = take(2, dataset=Images(1), spec=spec, batch_size=8)
  crops = np.concatenate([first['label'], second['label']])
  assert len({crop.tobytes() for crop in crops}) > 12


def test_ops_of_a_chain_draw_differently():
  spec = 'flip|flip|pad(40, 48)|normalize(0, 1)'
  (batch,) = take(1, dataset=Images(1), spec=spec, batch_size=40)
  mirrored = (batch['image'][:, 0, 0, 0] != 0).sum()
  assert 8 < mirrored < 32


IN_TURN = 'in_turn(resize(24, 32)|flip, resize(8, 16), resize(12))|normalize'


def test_passes_over_the_images_take_sizes_in_turn():
  # Passes of 10 images, in batches of 4 that begin in one of them.
  sizes = [batch['label'].shape[1:] for batch in take(11, spec=IN_TURN)]
  of_passes = [(24, 32), (8, 16), (12, 12), (24, 32), (8, 16)]
  assert sizes == [of_passes[4 * step // 10] for step in range(11)]
  (resumed,) = take(1, spec=IN_TURN, first_step=6)
  assert_same(resumed, take(7, spec=IN_TURN)[6])


@pytest.mark.parametrize('hosts', [2, 4])
def test_hosts_have_the_size_of_the_whole_batch(hosts):
  whole = take(9, spec=IN_TURN)
  parts = [take(9, spec=IN_TURN, num_hosts=hosts, host=h) for h in range(hosts)]
  for batch, *shares in zip(whole, *parts, strict=True):
    assert_same(
        {k: np.concatenate([share[k] for share in shares]) for k in batch},
        batch,
    )


def test_a_pass_sees_the_images_that_it_would_see_at_one_size():
  spec = 'in_turn(pad(40, 48), pad(42, 50))|normalize(0, 1)'
  assert indices(take(12, spec=spec)) == indices(take(12, spec=PLAIN))


def test_a_batch_may_be_larger_than_the_data_set():
  (batch,) = take(1, dataset=Images(3), spec=PLAIN, batch_size=7)
  assert np.bincount(indices([batch])).max() <= 3


def test_padding_is_zero_after_normalisation_and_ignored():
  (batch,) = take(1, spec='random_crop(64)|photometric|normalize')
  for image, label in zip(batch['image'], batch['label'], strict=True):
    assert image.shape == (64, 64, 3)
    assert (label[:30, :38] < 4).all()
    assert (label[40:] == 255).all()
    assert (image[label == 255] == 0).all()


def test_a_bad_example_is_raised_with_its_file():
  with pytest.raises(BadExample, match='/data/4.png is truncated'):
    take(3, dataset=Images(bad=[4]))


def test_nothing_comes_after_an_error():
  batches = pipeline.train_batches(Images(bad=[4]), SPEC, batch_size=10, seed=0)
  with pytest.raises(BadExample):
    next(batches)
  with pytest.raises(ValueError, match='closed'):
    next(batches)


def test_bad_examples_are_replaced_by_the_next_good_ones():
  good = indices(take(20, spec=PLAIN, batch_size=1))
  bad = {good[2], good[3], good[9]}  # Followed by one, and last of the epoch.
  expected = []
  for epoch in (good[:10], good[10:]):
    for i in range(10):
      order = epoch[i:] + epoch[:i]
      expected.append(next(j for j in order if j not in bad))
  options = dict(dataset=Images(bad=bad), spec=PLAIN, on_bad_example='skip')
  assert indices(take(20, batch_size=1, **options)) == expected
  (jumped,) = take(1, batch_size=2, first_step=1, **options)
  assert indices([jumped]) == expected[2:4]


def test_skipped_examples_are_counted_and_logged_once(caplog):
  batches = pipeline.train_batches(
      Images(bad=[4, 7]),
      SPEC,
      batch_size=10,
      seed=0,
      prefetch=1,
      on_bad_example='skip',
  )
  with caplog.at_level('WARNING'):
    for _ in range(3):
      next(batches)
  batches.close()
  assert batches.skipped == 2
  for i in (4, 7):
    assert caplog.text.count(f'/data/{i}.png is truncated') == 1


def test_a_data_set_of_bad_examples_is_an_error():
  with pytest.raises(BadExample, match='none of the 3 examples is readable'):
    take(1, dataset=Images(3, bad=range(3)), on_bad_example='skip')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(dataset=Images(0)), 'no examples'),
        (dict(batch_size=0), 'batch_size 0'),
        (dict(num_hosts=3), 'batch_size 4 cannot be split over 3 hosts'),
        (dict(num_hosts=2, host=2), 'host is 0 to 1, not 2'),
        (dict(on_bad_example='ignore'), "'raise' or 'skip', not 'ignore'"),
        (dict(spec='random_crop(5)'), 'must contain normalize'),
        (dict(spec='flip|normalize'), 'differ in size'),
        (
            dict(spec='pad(30)|normalize'),
            r'^\d: an image of \d+ x \d+ does not fit into the 30 x 30 of pad',
        ),
        (dict(spec='normalize|random_crop(9)|photometric'), 'before normalize'),
    ],
)
def test_wrong_options_say_why(options, message):
  with pytest.raises(ValueError, match=message):
    take(1, **options)


def test_images_of_different_channels_cannot_share_a_batch():
  class Mixed(Images):

    def __getitem__(self, i):
      features = super().__getitem__(i)
      features['image'] = features['image'][:, :, : 1 + i % 3]
      return features

  with pytest.raises(ValueError, match=r'one shape, but \d is \(40, 48, \d\)'):
    take(1, dataset=Mixed(), spec=PLAIN, batch_size=10)


@pytest.mark.parametrize('hosts', [1, 3, 12])
def test_hosts_evaluate_every_example_once(hosts):
  names = []
  for host in range(hosts):
    for features in pipeline.eval_examples(
        Images(), 'resize(20)|normalize', num_hosts=hosts, host=host
    ):
      names.append(features['name'])
  assert sorted(names) == sorted(str(i) for i in range(10))


def test_images_stay_as_they_were_read_for_what_preprocesses_by_itself():
  examples = pipeline.eval_examples(
      Images(), 'fixed_masks|normalize', preprocessed=False
  )
  for i, example in enumerate(examples):
    np.testing.assert_array_equal(example['image'], Images()[i]['image'])
    np.testing.assert_array_equal(example['raw'], example['image'])
    # What is made of the truth belongs to the example all the same.
    assert example['coarse_mask'].shape == example['label'].shape


def test_evaluation_keeps_label_and_raw_image():
  dataset = Images()
  for i, features in enumerate(
      pipeline.eval_examples(dataset, 'resize(20)|normalize|pad(32)')
  ):
    assert features['name'] == str(i)
    assert features['image'].shape == (32, 32, 3)
    assert features['image'].dtype == np.float32
    np.testing.assert_array_equal(features['label'], dataset[i]['label'])
    np.testing.assert_array_equal(features['raw'], dataset[i]['image'])


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ('flip|normalize', 'random'),
        ('random_crop(9)|normalize', 'random'),
        ('resize(9)', 'must contain normalize'),
    ],
)
def test_an_evaluation_spec_is_deterministic(spec, message):
  with pytest.raises(ValueError, match=message):
    pipeline.eval_examples(Images(), spec)


def test_evaluation_raises_bad_examples():
  with pytest.raises(BadExample, match='/data/2.png'):
    list(pipeline.eval_examples(Images(bad=[2]), 'normalize'))


class Proposing(Images):
  """Two regions an image: where the label is 1, and nothing."""

  def __getitem__(self, i):
    example = super().__getitem__(i)
    example['label'][:] = 0
    example['label'][5:15, 9:30] = 1
    shown = example['label'] == 1
    example['proposals'] = np.stack([shown, 0 * shown], -1).astype(np.uint8)
    return example


def test_regions_and_what_they_show_are_part_of_a_batch():
  for batch in take(3, Proposing(), f'{SPEC}|label_proposals'):
    assert batch['proposals'].shape == (4, 24, 32, 2)
    for i in range(4):
      shown = batch['label'][i] == 1
      np.testing.assert_array_equal(batch['proposals'][i, ..., 0], shown)
      assert not batch['proposals'][i, ..., 1].any()
      expected = [1 if shown.any() else 255, 255]
      assert batch['categories'][i].tolist() == expected
      assert batch['overlaps'][i].tolist() == [float(shown.any()), 0]


def test_regions_are_evaluated_at_the_size_of_the_image():
  spec = 'resize(20, 30)|normalize'
  for example in pipeline.eval_examples(Proposing(), spec):
    assert example['image'].shape == (20, 30, 3)
    assert example['proposals'].shape == (20, 30, 2)
    assert example['proposals'][..., 0].any()
    assert example['label'].shape == example['raw'].shape[:2]
