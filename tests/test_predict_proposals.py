import numpy as np
import pytest

from configs import hypercolumns
from segjax import experiment
from segjax import predict
from segjax.data import image as images
from segjax.data.datasets import shapes
from tests import saved_run

SIZE = 32, 48


def get_config():
  config = hypercolumns.get_config()
  config.dataset.options.update(size=SIZE, length=8, proposals=3)
  config.model.update(hidden=16, size=8, grid=2, min_score=-1e9)
  config.predict.batch_size = 1
  return config


@pytest.fixture(scope='module')
def predictor(tmp_path_factory):
  """Of a model as it is before training."""
  config = get_config()
  variables = experiment.system(config, shapes.LABEL_MAP).init(0, (1, *SIZE, 3))
  folder = tmp_path_factory.mktemp('run')
  return predict.load(saved_run.save(folder, config, variables).path)


@pytest.fixture(scope='module')
def example():
  return shapes.load('val', size=SIZE, proposals=3)[0]


def test_an_image_is_segmented_by_its_regions(predictor, example):
  image, regions = example['image'], example['proposals']
  labels, probabilities = predictor(image, proposals=regions)
  assert labels.shape == SIZE
  assert probabilities.shape == (*SIZE, 8)
  rows, columns = (np.flatnonzero(regions.any((axis, 2))) for axis in (1, 0))
  inside = np.zeros(SIZE, bool)
  inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
  assert labels.any()
  assert not labels[~inside].any()
  assert not predictor(image, proposals=0 * regions)[0].any()


def test_files_of_proposals_are_found_by_the_name(predictor, example, tmp_path):
  images.write_png(tmp_path / 'a.png', example['image'])
  (tmp_path / 'proposals').mkdir()
  np.savez(tmp_path / 'proposals/a.npz', regions=example['proposals'])
  predict.write(
      predictor,
      [tmp_path / 'a.png'],
      tmp_path / 'out',
      proposals=tmp_path / 'proposals',
  )
  labels, _ = predictor(example['image'], proposals=example['proposals'])
  np.testing.assert_array_equal(
      images.read_mask(tmp_path / 'out/a.png'), labels
  )


def test_without_proposals_the_error_names_them(predictor, example):
  with pytest.raises(ValueError, match=r'image: .* reads the field proposals'):
    predictor(example['image'])


@pytest.mark.parametrize('shape', [(48, 32, 3), (32, 48, 0)])
def test_regions_of_another_shape_are_refused(predictor, example, shape):
  with pytest.raises(ValueError, match=r'are \[32, 48, ...\], these'):
    predictor(example['image'], proposals=np.zeros(shape))


def test_a_data_set_without_proposals_is_refused():
  config = get_config()
  config.dataset.options.proposals = 0
  with pytest.raises(ValueError, match=r'options.proposals=16'):
    experiment.training(config)
  system = experiment.system(config, shapes.LABEL_MAP)
  with pytest.raises(ValueError, match=r'options.proposals=16'):
    experiment.evaluation(config, system, experiment.eval_dataset(config))


def test_categories_that_no_example_has_are_refused():
  config = get_config()
  config.model.classify = False
  with pytest.raises(ValueError, match='reads categories, which examples have'):
    experiment.forward(config, experiment.system(config, shapes.LABEL_MAP))
