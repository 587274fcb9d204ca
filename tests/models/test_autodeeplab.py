import importlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.layers.operations import KNOWN
from segjax.layers.operations import pool3

CLASSES = 4
SMALL = dict(
    features=2,
    levels=(0, 1, 0),
    low=0,
    stem_features=4,
    head_features=4,
    low_features=4,
)


def create(**fields):
  return models.create('autodeeplab', CLASSES, **{**SMALL, **fields})


def shapes(model, size):
  """Outputs and variables for images of a size, without computing them."""
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  return jax.eval_shape(model.init_with_output, jax.random.key(0), image)


def test_the_largest_network_has_as_many_parameters_as_published():
  model = models.create('autodeeplab', 19, features=48)
  _, variables = shapes(model, (65, 65))
  count = sum(x.size for x in jax.tree.leaves(variables['params']))
  assert round(count / 1e6, 2) == 44.42


@pytest.mark.parametrize('port', [False, True])
def test_any_cell_of_a_search_is_built_for_any_size(port):
  cell = tuple((i % 2, kind) for i, kind in enumerate(KNOWN[1:]))
  cell = (*cell, (2, 'skip'))
  model = create(cell=cell, port=port, levels=(1, 2, 1, 0))
  for size in ((50, 67), (65, 97)):
    out, _ = shapes(model, size)
    assert out['logits'].shape == (1, *size, CLASSES)


def test_the_older_input_is_projected_where_its_channels_differ_alone():
  # Two blocks of 2 features are 4, which the cell at stride 8 has itself.
  cell = ((0, 'sep3'), (1, 'sep3'), (0, 'sep3'), (1, 'sep3'))
  model = create(cell=cell, levels=(0, 0, 1), stem_features=12)
  _, variables = shapes(model, (33, 33))
  params = variables['params']
  assert 'before' in params['cell0']
  assert 'before' not in params['cell2']


@pytest.mark.parametrize('affine', [False, True])
def test_norms_of_the_port_have_what_it_gives_them(affine):
  cell = ((0, 'dil3'), (1, 'sep3'))
  model = create(cell=cell, port=True, activated=True, affine=affine)
  params = shapes(model, (33, 33))[1]['params']
  assert ('norm' in params['cell0']['block0_left']['conv']) == affine
  assert ('norm1' in params['cell0']['block0_right']['conv']) == affine
  assert 'norm' in params['cell0']['last']


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(levels=(0, 2)), 'differs from the one before by 1'),
        (dict(levels=(2, 1)), 'first is 0 or 1'),
        (dict(levels=(0, 1, 2, 3, 4)), 'coarsest is 3'),
        (dict(cell=((0, 'sep3'),)), 'two pairs for each block'),
        (dict(cell=((0, 'none'), (1, 'sep3'))), 'operations are max3'),
        (dict(cell=((2, 'sep3'), (1, 'sep3'))), 'block 0 reads states 0 to 1'),
        (dict(low=3), 'cells 0 to 2'),
    ],
)
def test_what_is_no_network_is_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    shapes(create(**fields), (33, 33))


def test_pixels_beyond_the_border_do_not_count_in_a_mean():
  x = np.random.default_rng(0).normal(size=(1, 4, 5, 2)).astype(np.float32)
  for stride in (1, 2):
    mean = pool3('avg3', x, stride)
    expected = [
        [
            x[0, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean((0, 1))
            for j in range(0, 5, stride)
        ]
        for i in range(0, 4, stride)
    ]
    np.testing.assert_allclose(mean[0], expected, rtol=1e-5, atol=1e-6)


def test_the_config_trains_what_a_search_has_written(tmp_path):
  file = tmp_path / 'genotype.json'
  found = dict(levels=(0, 1, 1), low=0, cell=((0, 'dil3'), (1, 'max3')))
  file.write_text(json.dumps(found))
  module = importlib.import_module('configs.autodeeplab')
  config = module.get_config(f'found={file}')
  assert {name: config.model[name] for name in found} == found
  model = models.create('autodeeplab', CLASSES, **config.model)
  assert 'block0_left' in shapes(model, (33, 33))[1]['params']['cell0']
  with pytest.raises(ValueError, match='tools.genotype'):
    module.get_config('found=missing.json')
