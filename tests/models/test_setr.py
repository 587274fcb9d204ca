import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import setr

CLASSES = 4
# Three blocks of patches of 8x8 pixels.
FIELDS = dict(
    backbone=(
        'vit/tiny(width=8, depth=3, heads=2, patch=8, image_size=(32, 32))'
    ),
    features=4,
)
BLOCKS = {
    'naive': dict(taps=(2,), aux_taps=(0, 1)),
    'pup': dict(taps=(2,), aux_taps=(0, 1)),
    'mla': dict(taps=(0, 1, 2), aux_taps=(2, 0), aux_steps=0),
}


def create(decoder, **fields):
  return models.create(
      'setr',
      CLASSES,
      decoder=decoder,
      **{**FIELDS, **BLOCKS[decoder], **fields},
  )


def shapes(model, size=(32, 48)):
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
  return out, state['intermediates']


@pytest.mark.parametrize(
    ('decoder', 'scale'), [('naive', 4), ('pup', 8), ('mla', 4)]
)
def test_decoders_enlarge_patches_by_their_factors(decoder, scale):
  out, inner = shapes(create(decoder))
  found = inner['decoder']['__call__'][0]
  assert found.shape == (1, 4 * scale, 6 * scale, CLASSES)
  assert set(out['aux']) == {f'block{i}' for i in BLOCKS[decoder]['aux_taps']}
  for logits in (out['logits'], *out['aux'].values()):
    assert logits.shape == (1, 32, 48, CLASSES)


@pytest.mark.parametrize(('steps', 'scale'), [(0, 1), (1, 4), (2, 16)])
def test_each_step_of_an_auxiliary_head_enlarges_by_4(steps, scale):
  _, inner = shapes(create('pup', aux_steps=steps))
  found = inner['aux0']['__call__'][0]
  assert found.shape == (1, 4 * scale, 6 * scale, CLASSES)


def test_classifying_before_the_last_upsampling_changes_nothing():
  head = setr.UpsamplingHead(CLASSES, features=3, kernel=1, steps=1, factor=4)

  @jax.jit
  def run(x):
    variables = head.init(jax.random.key(1), x, False)
    scores, state = head.apply(
        variables,
        x,
        False,
        capture_intermediates=True,
        mutable=['intermediates'],
    )
    feats = state['intermediates']['step0']['__call__'][0]
    kernel = variables['params']['classifier']['kernel'][0, 0]
    return scores, setr.upsample(feats, 4) @ kernel

  scores, last = run(np.random.default_rng(0).normal(size=(1, 3, 5, 6)))
  np.testing.assert_allclose(scores, last, rtol=1e-4, atol=1e-6)


def test_a_block_is_replaced_by_the_sum_of_itself_and_all_deeper_ones():
  neck = setr.Aggregation(features=4)

  @jax.jit
  def run(feats):
    # A norm takes a constant away, so values are turned around.
    other = {**feats, 'block1': -feats['block1']}
    variables = neck.init(jax.random.key(1), feats, False)
    return [neck.apply(variables, x, False) for x in (feats, other)]

  draws = np.random.default_rng(0).normal(size=(3, 1, 3, 4, 5))
  before, after = run({f'block{i}': x for i, x in enumerate(draws)})
  changed = {k for k in before if not np.allclose(before[k], after[k])}
  assert changed == {'block0', 'block1'}


def test_an_image_is_where_it_is_without_what_its_last_patches_are_padded_by(
    random_variables,
):
  model = create('naive', aux_taps=(1,))
  variables = random_variables(model, (1, 32, 48, 3))
  image = jax.random.normal(jax.random.key(0), (1, 27, 43, 3))
  padded = np.pad(image, ((0, 0), (0, 5), (0, 5), (0, 0)))
  apply = jax.jit(model.apply)
  whole = apply(variables, padded)
  found = apply(variables, image)
  np.testing.assert_array_equal(found['logits'], whole['logits'][:, :27, :43])
  np.testing.assert_array_equal(
      found['aux']['block1'], whole['aux']['block1'][:, :27, :43]
  )


@pytest.mark.parametrize(
    ('decoder', 'fields', 'message'),
    [
        ('naive', dict(decoder='pop'), "decoder='pop': .* naive, pup, mla"),
        ('pup', dict(taps=(1, 2)), r'taps=\(1, 2\): .* reads one block'),
        ('mla', dict(taps=(1, 2)), r'aux_taps=\(2, 0\): .* taps=\(1, 2\)'),
    ],
)
def test_blocks_that_a_decoder_does_not_read_are_refused(
    decoder, fields, message
):
  model = create(decoder).clone(**fields)
  with pytest.raises(ValueError, match=message):
    shapes(model)


@pytest.mark.parametrize('arg', ['', 'dataset=cityscapes', 'dataset=voc2012'])
@pytest.mark.parametrize('decoder', setr.DECODERS)
def test_every_auxiliary_head_of_a_config_has_a_factor(decoder, arg):
  arg = f'{arg},decoder={decoder}'.removeprefix(',')
  config = importlib.import_module('configs.setr').get_config(arg)
  names = [f'block{tap}' for tap in config.model.aux_taps]
  assert config.aux_weight.to_dict() == dict.fromkeys(names, 0.4)
