import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.evaluation import boundary
from segjax.evaluation import collections
from segjax.evaluation import partitions
from segjax.evaluation import semantic

NAMES = ('road', 'sky', 'tree')


def examples(count=4, seed=0):
  rng = np.random.default_rng(seed)
  for _ in range(count):
    size = tuple(rng.integers(20, 40, 2))
    label = np.uint8(rng.integers(0, 3, size))
    prediction = np.where(rng.random(size) < 0.7, label, np.uint8(1))
    label[:3] = 255
    yield {'prediction': prediction, 'label': label}


def score(examples, **options):
  scores = collections.semantic(NAMES, **options)
  total = scores.empty()
  for example in examples:
    total = total.merge(scores.single_from_model_output(**example))
  return total


def test_scores_are_floats_under_the_names_of_summaries_and_classes():
  result = score(examples()).compute()
  assert list(result) == [
      'mIoU',
      'mean_accuracy',
      'accuracy',
      'fwIoU',
      'dice',
      'boundary_IoU',
      'mBA',
      'IoU/road',
      'IoU/sky',
      'IoU/tree',
  ]
  assert all(type(value) is float for value in result.values())
  assert result['mIoU'] == pytest.approx(
      np.mean([result[f'IoU/{name}'] for name in NAMES])
  )


def test_scores_of_regions_are_means_over_images_that_have_some():
  rng = np.random.default_rng(0)
  label = np.uint8(rng.random((5, 20, 30)) < 0.6)
  prediction = np.where(rng.random(label.shape) < 0.1, 1 - label, label)
  label[4] = 0
  pairs = list(zip(prediction, label, strict=True))
  means = np.mean([partitions.scores(*pair, 0) for pair in pairs[:4]], axis=0)
  result = dict(zip(partitions.NAMES, means, strict=True))
  result['rand_error'] = 1 - result['V_rand']

  kind = collections.semantic(('membrane', 'cell'), boundary_class=0)
  total = kind.empty()
  for predicted, truth in pairs:
    total = total.merge(
        kind.single_from_model_output(prediction=predicted, label=truth)
    )
  computed = total.compute()
  assert {name: computed[name] for name in result} == pytest.approx(result)
  nothing = kind.single_from_model_output(
      prediction=prediction[4], label=label[4]
  )
  assert np.isnan(nothing.compute()['rand_error'])


def test_of_two_classes_the_second_has_more_scores():
  scores = collections.semantic(('ground', 'vessel'))
  label = np.uint8([[0, 0, 0, 1, 1, 1, 255]])
  prediction = np.uint8([[0, 1, 1, 1, 1, 0, 1]])
  result = scores.single_from_model_output(
      prediction=prediction, label=label
  ).compute()
  assert result['precision/vessel'] == 2 / 4
  assert result['recall/vessel'] == 2 / 3
  assert result['dice/vessel'] == 4 / 7
  assert not [name for name in result if name.endswith('all/ground')]


def test_scores_do_not_depend_on_how_a_split_is_divided():
  parts = list(examples())
  merged = score(parts[:1]).merge(score(parts[1:]))
  assert merged.compute() == score(parts).compute()
  assert merged.compute() == score(parts[::-1]).compute()


def test_boundary_iou_sums_bands_over_the_split():
  counts = sum(
      boundary.band_counts(**example, num_classes=3) for example in examples()
  )
  expected = np.mean(semantic.iou(*counts))
  assert score(examples()).compute()['boundary_IoU'] == expected


def test_the_convention_for_absent_classes_holds_for_all_means():
  label = np.zeros((8, 8), np.uint8)
  label[:, 4:] = 1
  perfect = [{'prediction': label, 'label': label}]
  for absent, mean in (('skip', 1), ('truth', 1), ('zero', 2 / 3)):
    result = score(perfect, absent=absent).compute()
    for name in ('mIoU', 'mean_accuracy', 'dice', 'boundary_IoU'):
      assert result[name] == pytest.approx(mean), (absent, name)
    assert np.isnan(result['IoU/tree'])


def test_an_empty_split_scores_nan():
  assert all(np.isnan(v) for v in score([]).compute().values())


def test_counts_stay_exact_beyond_32_bits():
  total = score(examples())
  for _ in range(40):
    total = total.merge(total)
  counts = score(examples()).confusion.counts
  assert total.confusion.counts.dtype == np.int64
  np.testing.assert_array_equal(total.confusion.counts, counts * 2**40)


def test_gather_sums_exactly_over_processes(monkeypatch):
  total = score(examples(), boundary_class=0)
  for _ in range(40):
    total = total.merge(total)

  def allgather(x):  # Through a device array, as the real one.
    return np.stack([np.asarray(jnp.asarray(x))] * 2)

  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  monkeypatch.setattr(multihost_utils, 'process_allgather', allgather)
  gathered = total.gather()
  for name in ('confusion', 'bands', 'partitions'):
    np.testing.assert_array_equal(
        getattr(gathered, name).counts, 2 * getattr(total, name).counts
    )
  assert gathered.compute() == total.compute()


def test_train_scalars_are_averaged_and_the_learning_rate_is_the_last():
  reports = collections.train(('loss', 'grad_norm', 'learning_rate'))
  report = reports.empty()
  for step in range(4):
    report = report.merge(
        reports.single_from_model_output(
            loss=jnp.float32(step),
            grad_norm=jnp.float32(2.0),
            learning_rate=jnp.float32(0.5**step),
        )
    )
  expected = {'loss': 1.5, 'grad_norm': 2.0, 'learning_rate': 0.125}
  assert report.compute() == expected
  assert report.merge(reports.empty()).compute() == expected


def test_a_scalar_may_have_any_name():
  reports = collections.train(('class', 'loss/aux'))
  report = reports.single_from_model_output(**{'class': 1.0, 'loss/aux': 2.0})
  assert report.merge(report).compute() == {'class': 1, 'loss/aux': 2}


def test_rows_of_processes_follow_each_other(monkeypatch):
  parts = [
      np.array([[1, 2]]),
      np.zeros((0, 2), int),
      np.array([[3, 4], [5, 6]]),
  ]
  monkeypatch.setattr(collections.jax, 'process_count', lambda: 3)
  found = []
  for mine, rows in enumerate(parts):
    monkeypatch.setattr(collections.jax, 'process_index', lambda i=mine: i)
    lengths = np.array([len(part) for part in parts])
    table = np.zeros((3, 2, 2), int)
    for part, place in zip(parts, table, strict=True):
      place[: len(part)] = part

    def total(own, lengths=lengths, table=table):
      whole = lengths if own.ndim == 1 else table
      there = own != 0  # What a process adds is in its own place.
      np.testing.assert_array_equal(own[there], whole[there])
      return whole

    monkeypatch.setattr(collections, 'sum_over_processes', total)
    found.append(collections.rows_of_processes(rows).tolist())
  assert found == [[[1, 2], [3, 4], [5, 6]]] * 3
