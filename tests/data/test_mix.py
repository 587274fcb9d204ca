"""Ops that mix examples: what they take from where, and who draws what."""

import itertools

import numpy as np
import pytest

from segjax.data import pipeline
from segjax.data import transforms
from segjax.data.class_uniform import ClassUniform
from segjax.data.image import BadExample

SIZE = (40, 60)
ROWS = 3


class Numbered:
  """Images of several sizes whose pixels and labels are their index.

  Example i has two objects, of class i; `instances` is 1 in its left half and 2
  in its right one.
  """

  def __init__(self, length=8, bad=(), objects=False):
    self.length = length
    self.bad = bad
    self.objects = objects

  def __len__(self):
    return self.length

  def __getitem__(self, i):
    if i in self.bad:
      raise BadExample(f'/data/{i}.png is truncated')
    height, width = SIZE[0] + i, SIZE[1] - i
    example = {
        'image': np.full((height, width, 1), i, np.uint8),
        'label': np.full((height, width), i, np.uint8),
        'name': f'{i}',
    }
    if self.objects:
      ids = np.ones((height, width), np.int32)
      ids[:, width // 2 :] = 2
      example['instances'] = ids
      example['instance_classes'] = np.array([i, i, 255], np.uint8)[:ROWS]
      example['instance_crowds'] = np.zeros(ROWS, np.uint8)
    return example


def take(count, spec, dataset=Numbered(), batch_size=4, seed=3, **options):
  spec = f'{spec}|normalize(0.0, 1.0)'
  batches = pipeline.train_batches(
      dataset, spec, batch_size=batch_size, seed=seed, **options
  )
  taken = list(itertools.islice(batches, count))
  batches.close()
  return taken


def images(batches):
  return [image[..., 0] for batch in batches for image in batch['image']]


def apply(spec, features, others, seed=0):
  """Applies ops to an example that is mixed with given ones, in turn."""
  others = iter(others)
  return transforms.apply(
      transforms.parse(spec),
      features,
      np.random.default_rng(seed),
      lambda rng: next(others),
  )


def assert_same(a, b):
  assert a.keys() == b.keys()
  for key in a:
    np.testing.assert_array_equal(a[key], b[key])


MIXING = ('cutmix(0.7)', 'mosaic(0.7)', 'copy_paste(0.7)')
CROP = 'random_crop(36, 44, cat_max_ratio=1.0)'


@pytest.mark.parametrize('op', MIXING)
def test_a_batch_depends_on_seed_and_step_alone_not_on_hosts_or_threads(op):
  spec = f'random_scale|{CROP}|{op}|flip|objects(5)'
  options = dict(dataset=Numbered(objects=True))
  straight = take(4, spec, **options)
  for step, threads in ((0, 0), (3, 4)):
    (jumped,) = take(1, spec, first_step=step, threads=threads, **options)
    assert_same(jumped, straight[step])
  parts = [take(4, spec, num_hosts=2, host=h, **options) for h in range(2)]
  for batch, *shares in zip(straight, *parts, strict=True):
    joined = {
        key: np.concatenate([share[key] for share in shares]) for key in batch
    }
    assert_same(joined, batch)
  (other,) = take(1, spec, seed=4, **options)
  assert (other['image'] != straight[0]['image']).any()


@pytest.mark.parametrize('op', MIXING)
def test_others_are_of_the_whole_split_and_as_often_as_asked(op):
  seen, mixed = set(), 0
  dataset = Numbered(objects=True)
  for image in images(take(16, f'{CROP}|{op}', dataset)):
    values = np.unique(image)
    seen.update(values)
    mixed += len(values) > 1
  assert seen >= set(range(8))
  assert 0.2 < mixed / 64 < 0.8  # It may happen that an example meets itself.
  for image in images(take(4, f'{CROP}|{op.replace("0.7", "0.0")}')):
    assert len(np.unique(image)) == 1


def test_cutmix_replaces_one_box_whose_share_is_uniform():
  base, other = Numbered()[1], Numbered()[1]
  other['image'][:], other['label'][:] = 5, 5
  shares = []
  for seed in range(200):
    mixed = apply('cutmix(1.0)', base, [other], seed)
    np.testing.assert_array_equal(mixed['image'][..., 0], mixed['label'])
    rows, columns = np.nonzero(mixed['label'] == 5)
    shares.append(rows.size / mixed['label'].size)
    if rows.size:
      assert rows.size == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
  assert mixed['name'] == '1'
  # The mean of the box is a half, and less where the border cuts it off.
  assert 0.2 < np.mean(shares) < 0.45
  assert np.unique(base['label']).tolist() == [1]


def test_cutmix_with_a_smaller_example_leaves_the_rest_as_it_is():
  base, small = Numbered()[1], Numbered()[2]
  small = {k: v[:9, :7] if k != 'name' else v for k, v in small.items()}
  for seed in range(30):
    label = apply('cutmix(1.0)', base, [small], seed)['label']
    assert (label[9:] == 1).all()
    assert (label[:, 7:] == 1).all()


def test_mosaic_joins_four_rectangles_that_meet_in_a_point():
  examples = [Numbered()[i] for i in range(4)]
  places = set()
  for seed in range(50):
    mixed = apply('mosaic(1.0, margin=0.25)', examples[0], examples[1:], seed)
    label = mixed['label']
    height, width = examples[0]['label'].shape
    assert label.shape == (height, width)
    known = label != 255  # Example 3 may be narrower than its part.
    np.testing.assert_array_equal(mixed['image'][known][:, 0], label[known])
    corners = label[[0, 0, -1, -1], [0, -1, 0, -1]]
    places.add(tuple(corners))
    top = np.count_nonzero(label[:, 0] == label[0, 0])
    left = np.count_nonzero(label[0] == label[0, 0])
    assert height / 4 - 1 < top < 3 * height / 4 + 1
    assert width / 4 - 1 < left < 3 * width / 4 + 1
    for part, corner in zip(
        (label[:top, :left], label[:top, left:], label[top:, :left]),
        corners,
        strict=False,
    ):
      assert set(np.unique(part)) <= {corner, 255}
  assert len(places) > 10


def test_an_anchor_moves_with_its_part_of_a_mosaic():
  base = Numbered()[0]
  base['image'][20, 30] = base['label'][20, 30] = 9
  base['anchor'] = np.float32([[20, 30]])
  others = [Numbered()[i] for i in range(1, 4)]
  found = 0
  for seed in range(40):
    mixed = apply('mosaic(1.0)', base, others, seed)
    at = np.argwhere(mixed['label'] == 9)
    if at.size:
      found += 1
      np.testing.assert_array_equal(mixed['anchor'], at)
  assert found > 5


def test_copy_paste_takes_whole_objects_where_they_were():
  base, other = (Numbered(objects=True)[i] for i in (1, 4))
  base, other = (
      {k: v[:40, :50] if v.ndim > 1 else v for k, v in x.items() if k != 'name'}
      for x in (base, other)
  )
  number = set()
  for seed in range(30):
    mixed = apply('copy_paste(1.0)', base, [other], seed)
    taken = [(mixed['label'][other['instances'] == k] == 4) for k in (1, 2)]
    for object_pixels in taken:
      assert object_pixels.all() or not object_pixels.any()
    number.add(sum(pixels.all() for pixels in taken))
    classes = np.append(0, mixed['instance_classes'])[mixed['instances']]
    np.testing.assert_array_equal(classes, mixed['label'])
  assert number == {0, 1, 2}
  crowd = {**other, 'instance_crowds': np.ones(ROWS, np.uint8)}
  for spec, example in (
      ('copy_paste(1.0, share=1.0)', crowd),
      ('copy_paste(1.0, share=1.0, classes=(3,))', other),
      ('copy_paste(1.0, share=0.0)', other),
  ):
    mixed = apply(spec, base, [example])
    np.testing.assert_array_equal(mixed['label'], base['label'])
    np.testing.assert_array_equal(
        mixed['instance_classes'], base['instance_classes']
    )
  mixed = apply('copy_paste(1.0, share=1.0, classes=(4,))', base, [other])
  assert (mixed['label'] == 4).all()
  assert mixed['instance_classes'].tolist() == [4, 4, 255]


def test_without_objects_copy_paste_takes_connected_components():
  base = Numbered()[1]
  other = {k: v for k, v in base.items()}
  other['label'] = np.zeros_like(base['label'])
  other['image'] = np.zeros_like(base['image'])
  for window, value in ((np.s_[2:9, 3:9], 2), (np.s_[20:30, 30:40], 2)):
    other['label'][window] = other['image'][window] = value
  counts = set()
  for seed in range(30):
    mixed = apply('copy_paste(1.0)', base, [other], seed)
    np.testing.assert_array_equal(mixed['image'][..., 0], mixed['label'])
    counts.add(np.count_nonzero(mixed['label'] == 2))
    assert not (mixed['label'] == 0).any()  # The background is none.
  assert counts == {0, 42, 100, 142}


def test_of_more_objects_than_rows_the_largest_stay_and_others_are_ignored():
  base, other = (Numbered(objects=True)[i] for i in (0, 0))
  other['instance_classes'] = np.array([7, 7, 255], np.uint8)
  other['label'][:] = 7
  seen = 0
  for seed in range(40):
    mixed = apply('cutmix(1.0)', base, [other], seed)
    ids, label = mixed['instances'], mixed['label']
    table = mixed['instance_classes']
    classes = np.append(255, table)[ids]
    np.testing.assert_array_equal(classes, label)
    lost = ids == 0
    if lost.any():
      seen += 1
      areas = np.bincount(ids.ravel(), minlength=1 + ROWS)[1:]
      assert lost.sum() <= areas.min()
  assert seen > 5


def test_unreadable_others_are_replaced_and_counted_or_raised():
  spec = f'{CROP}|cutmix(1.0)'
  dataset = Numbered(bad=(2, 3))
  with pytest.raises(BadExample):
    take(8, spec, dataset)
  for image in images(take(8, spec, dataset, on_bad_example='skip')):
    assert not np.isin(image, (2, 3)).any()
  batches = take(1, spec, Numbered(bad=range(7)), on_bad_example='skip')
  assert np.unique(images(batches)).tolist() == [7]


def test_turns_mix_their_own_examples():
  turns = pipeline.Turns(np.arange(20) % 2)
  parts = turns.split(8, 3)
  batches = take(20, f'{CROP}|mosaic(1.0)', turns=turns)
  for step, batch in enumerate(batches):
    known = batch['image'][..., 0][batch['label'] != 255]
    assert set(np.unique(known)) <= set(parts[step % 2])


def test_others_have_no_anchor():
  places = [np.array([[i, 1, 1]]) for i in range(8)]
  spec = f'{CROP}|mosaic(1.0)'
  batches = take(2, spec, class_uniform=ClassUniform(places, 1.0, 3))
  assert {frozenset(batch) for batch in batches} == {
      frozenset(('image', 'label'))
  }


def test_mixed_examples_may_be_mixed_again():
  batches = take(6, f'{CROP}|cutmix(1.0)|mosaic(1.0)')
  assert max(len(np.unique(image)) for image in images(batches)) > 4


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ('cutmix(alpha=0.0)', 'alpha=0.0 is positive'),
        ('cutmix(2.0)', 'prob 2.0'),
        ('mosaic(margin=0.7)', 'from 0 to 0.5'),
        ('copy_paste(share=1.5)', 'share=1.5'),
        ('random_crop(9, halo=2)|mosaic', '^mosaic must come before the crop'),
        ('directions|cutmix', '^cutmix must come before directions'),
        ('objects(9)|copy_paste', '^copy_paste must come before objects'),
    ],
)
def test_a_spec_that_is_wrong_says_why(spec, message):
  with pytest.raises(ValueError, match=message):
    transforms.parse(spec)


def test_what_cannot_be_mixed_is_an_error_that_names_both():
  with pytest.raises(ValueError, match='is random, so it cannot be in an eval'):
    pipeline.eval_examples(Numbered(), 'mosaic|normalize(0.0, 1.0)')
  with pytest.raises(ValueError, match='other examples of a split'):
    transforms.apply(
        transforms.parse('cutmix(1.0)'),
        Numbered()[1],
        np.random.default_rng(0),
    )
  other = {**Numbered()[2], 'image': np.zeros((42, 58, 3), np.uint8)}
  with pytest.raises(ValueError, match='the image of 2 .* differs in type or'):
    apply('cutmix(1.0)', Numbered()[1], [other])
  with pytest.raises(ValueError, match='with 2 mixed in: .*does not fit into'):
    apply('pad(41, 59)|cutmix(1.0)', Numbered()[1], [Numbered()[2]])
  overlapping = {**Numbered()[1], 'label': np.zeros((41, 59, 2), np.uint8)}
  with pytest.raises(ValueError, match='where classes overlap'):
    apply('copy_paste(1.0)', overlapping, [overlapping])
