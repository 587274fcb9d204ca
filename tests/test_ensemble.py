import dataclasses
import logging

import numpy as np
import pytest

from segjax import evaluate
from segjax import experiment
from segjax import predict
from segjax.artifacts.workdir import Workdir
from segjax.data import image as images
from segjax.data.datasets import shapes
from segjax.data.values import Values
from tests import pixels

SIZES = {'a': (32, 48), 'b': (21, 17), 'c': (50, 40), 'd': (32, 48)}


@pytest.fixture(scope='module', autouse=True)
def small_model():
  with pytest.MonkeyPatch.context() as patch:
    pixels.replace_models(patch)
    yield


def make_run(folder, seed, *, channels=3, **more):
  weights = pixels.random_classifier(seed, channels)
  return pixels.make_run(folder, *weights, channels=channels, **more)


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs')
  return [make_run(folder / str(i), i) for i in range(3)]


@pytest.fixture(scope='module')
def ensemble(runs):
  return predict.load(runs)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('images')
  for i, (name, size) in enumerate(SIZES.items()):
    scene = shapes.load('val', size=size, length=4)[i]
    images.write_png(folder / f'{name}.png', scene['image'])
  return folder


def test_probabilities_are_the_mean_of_those_of_the_runs(
    runs, ensemble, folder
):
  image = images.read_image(folder / 'a.png')
  single = np.stack([predict.load(path)(image)[1] for path in runs])
  labels, probabilities, variance = ensemble.with_variance(image)
  np.testing.assert_allclose(probabilities, single.mean(0), atol=1e-6)
  np.testing.assert_allclose(variance, single.var(0), atol=1e-6)
  np.testing.assert_array_equal(labels, probabilities.argmax(-1))
  assert (labels != single[0].argmax(-1)).any()


def test_files_hold_what_the_function_returns(ensemble, folder, tmp_path):
  predict.write(ensemble, [folder], tmp_path / 'out', probabilities=True)
  for name in SIZES:
    image = images.read_image(folder / f'{name}.png')
    labels, probabilities, variance = ensemble.with_variance(image)
    mask = images.read_mask(tmp_path / 'out' / f'{name}.png')
    np.testing.assert_array_equal(mask, labels)
    for file, expected in (
        (name, probabilities),
        (f'{name}_uncertainty', variance),
    ):
      (saved,) = np.load(tmp_path / 'out' / f'{file}.npz').values()
      np.testing.assert_allclose(saved, expected, atol=2e-3)


def test_a_bad_image_is_named_once_and_the_others_go_on(
    ensemble, folder, tmp_path
):
  bad = tmp_path / 'bad.png'
  images.write_png(bad, np.zeros((9, 9), np.uint16))
  with pytest.raises(ValueError, match='^1 of 5 images could not') as error:
    predict.write(ensemble, [folder, bad], tmp_path / 'out')
  assert str(error.value).count('uint16') == 1
  written = {path.name for path in (tmp_path / 'out').iterdir()}
  assert {f'{name}.png' for name in SIZES} <= written


def test_other_runs_do_not_go_on_in_the_folder(
    runs, ensemble, folder, tmp_path
):
  predict.write(ensemble, [folder], tmp_path)
  predict.write(ensemble, [folder], tmp_path)  # Nothing is left to do.
  with pytest.raises(ValueError, match='exists already'):
    predict.write(predict.load(runs[:2]), [folder], tmp_path)


def test_no_more_images_are_read_than_a_batch_has(runs):
  ensemble = predict.load(runs)
  read = []

  def examples():
    for i in range(40):
      read.append(i)
      yield {'image': np.full((4, 4, 3), i, np.uint8), 'name': str(i)}

  stream = ensemble.stream(examples())
  names = [next(stream)[0]['name']]
  assert len(read) <= max(member.batch_size for member in ensemble.members)
  names += [example['name'] for example, _ in stream]
  assert sorted(names, key=int) == [str(i) for i in range(40)]


OTHER = dataclasses.replace(
    shapes.LABEL_MAP, names=(*shapes.LABEL_MAP.names[:3], *'wxyz', 'stick')
)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(label_map=OTHER), "class 3 is 'triangle' of the one and 'w'"),
        (dict(channels=4), '3 channels for the one and 4 for the other'),
        (
            dict(values=Values(('uint16',), 1.0, 4095.0)),
            'trained on uint8, the other on uint16',
        ),
    ],
)
def test_runs_that_predict_something_else_are_refused(
    runs, tmp_path, changes, message
):
  other = make_run(tmp_path / 'run', 5, **changes)
  with pytest.raises(ValueError, match=message) as error:
    predict.load([runs[0], other])
  assert f'{runs[0]} and {other} are no ensemble' in str(error.value)


def test_runs_of_other_classes_than_the_split_are_not_scored(tmp_path):
  other = Workdir(make_run(tmp_path / 'run', 5, label_map=OTHER))
  with pytest.raises(ValueError, match="than 'val': class 3 is 'w' of the one"):
    evaluate.run_ensemble(other.read_config(), other, [other.path])


def test_ranges_of_values_that_differ_are_told():
  twelve, sixteen = (
      Values(('uint16',), 1.0, float(2**bits)) for bits in (12, 16)
  )
  assert 'up to about 4096, the other up to about 6.554e+04' in (
      twelve.difference(sixteen)
  )
  brighter = Values(('uint16',), 1.0, 8000.0)
  assert not twelve.difference(brighter)


def test_a_task_without_probabilities_is_refused(tmp_path):
  run = make_run(tmp_path / 'run', 0, task='boundaries')
  with pytest.raises(ValueError, match='predicts no probabilities of pixels'):
    predict.load([run, run])


def test_an_evaluation_scores_the_mean(runs, caplog):
  config = Workdir(runs[0]).read_config()
  one = evaluate.run(config, Workdir(runs[0]))
  same = evaluate.run_ensemble(config, Workdir(runs[0]), [runs[0]])
  for name in ('mIoU', 'accuracy', 'boundary_IoU'):
    assert same[name] == pytest.approx(one[name], abs=1e-6)
  together = evaluate.run_ensemble(config, Workdir(runs[0]), runs[1:])
  ensemble = predict.load(runs)
  dataset = experiment.eval_dataset(config)
  right = total = 0
  for i in range(len(dataset)):
    labels, _ = ensemble(dataset[i]['image'])
    right += (labels == dataset[i]['label']).sum()
    total += (dataset[i]['label'] != 255).sum()
  assert together['accuracy'] == pytest.approx(right / total)
  assert together['accuracy'] != one['accuracy']
  with caplog.at_level(logging.INFO):
    evaluate.run_ensemble(config, Workdir(runs[0]), [runs[1]])
  assert f'mIoU of the run at step 0: {one["mIoU"]:.4f}' in caplog.text
