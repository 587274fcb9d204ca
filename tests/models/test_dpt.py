import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import dpt

FIELDS = dict(
    backbone=(
        'vit/tiny(width=8, depth=4, heads=2, patch=16, image_size=(32, 48))'
    ),
    taps=(0, 1, 2, 3),
    widths=(4, 5, 6, 7),
    features=3,
)


def create(**fields):
  return models.create('dpt', 2, **{**FIELDS, **fields})


def shapes(model, size):
  """What a model and its parts return, as shapes."""
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)
  out, state = jax.eval_shape(
      lambda v, x: model.apply(
          v, x, capture_intermediates=True, mutable=['intermediates']
      ),
      variables,
      image,
  )
  return out, state['intermediates'], variables['params']


def sides(parts, name):
  return parts[name]['__call__'][0].shape[1:3]


@pytest.mark.parametrize('size', [(64, 96), (65, 71)])
def test_maps_are_at_strides_4_to_32_and_fused_ones_as_large_as_the_next(size):
  out, parts, _ = shapes(create(), size)
  rows, columns = (-(-side // 16) for side in size)
  maps = [
      (4 * rows, 4 * columns),
      (2 * rows, 2 * columns),
      (rows, columns),
      (-(-rows // 2), -(-columns // 2)),
  ]
  for i in range(4):
    assert sides(parts, f'reassemble{i}') == maps[i]
    larger = maps[2 - i] if i < 3 else (8 * rows, 8 * columns)
    assert sides(parts, f'fusion{i}') == larger
  assert out['logits'].shape == out['aux']['fusion3'].shape == (1, *size, 2)


@pytest.mark.parametrize('readout', dpt.READOUTS)
def test_the_class_token_is_read_unless_it_is_ignored(
    random_variables, readout
):
  model = create(readout=readout, aux_level='')
  params = random_variables(model, (1, 32, 48, 3))
  params, rest = dict(params.pop('params')), params
  backbone = dict(params['backbone'])
  for name, block in backbone.items():
    if name.startswith('block'):  # Patches learn nothing of it there.
      out = jax.tree.map(jnp.zeros_like, block['attention']['out'])
      attention = {**block['attention'], 'out': out}
      backbone[name] = {**block, 'attention': attention}
  image = np.random.default_rng(0).normal(size=(1, 32, 48, 3))
  apply = jax.jit(model.apply)
  logits = []
  for token in np.random.default_rng(1).normal(size=(2, 1, 1, 8)):
    embed = {**backbone['embed'], 'class_token': token.astype(np.float32)}
    changed = {**params, 'backbone': {**backbone, 'embed': embed}}
    logits.append(apply({'params': changed, **rest}, image)['logits'])
  assert np.allclose(*logits) == (readout == 'ignore')


@pytest.mark.parametrize('coarsest', [False, True])
def test_the_coarsest_map_has_a_first_unit_only_if_asked(coarsest):
  _, _, params = shapes(create(coarsest_unit=coarsest), (64, 64))
  assert 'unit1' in params['fusion1']
  assert ('unit1' in params['fusion0']) == coarsest


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(readout='cat'), "readout='cat': .* project, add, ignore"),
        (dict(aux_level='c4'), "aux_level='c4' .* fusion0, fusion1"),
    ],
)
def test_what_there_is_not_is_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    shapes(create(**fields), (64, 64))
