import jax
import numpy as np
import pytest

from segjax import backbones
from segjax.backbones import vit

# timm's counts for 224 pixels and 1000 classes.
PARAMETERS = {
    'tiny': 5_717_416,
    'small': 22_050_664,
    'base': 86_567_656,
    'large': 304_326_632,
}
MODEL = vit.Backbone(width=16, depth=3, heads=2, image_size=(32, 48))


@pytest.fixture(scope='module')
def variables():
  """Variables of MODEL, its table of positions not as small as at first."""
  image = np.zeros((1, 32, 48, 3), np.float32)
  fresh = jax.jit(MODEL.init)(jax.random.key(0), image)
  return jax.tree.map(lambda x: 10 * x, fresh)


def random(*shape):
  return jax.random.normal(jax.random.key(1), shape)


@pytest.mark.parametrize('name', PARAMETERS)
def test_there_are_as_many_parameters_as_in_timm(name):
  variables = jax.eval_shape(
      backbones.build(f'vit/{name}', num_classes=1000).init,
      jax.random.key(0),
      jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32),
  )
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert sum(sizes) == PARAMETERS[name]


def test_every_variant_has_tables_for_224_and_384_pixels():
  plain = {n for n in vit.VARIANTS if not n.startswith('dinov2_')}
  assert plain == {*PARAMETERS, *(f'{n}_384' for n in PARAMETERS)}
  for name, side in (('tiny', 14), ('tiny_384', 24)):
    variables = jax.eval_shape(
        backbones.build(f'vit/{name}').init,
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32),
    )
    table = variables['params']['embed']['positions']
    assert table.shape == (1, 1 + side * side, 192)


# The card of the authors has 21, 86, 300 and 1100 million.
@pytest.mark.parametrize(
    ('name', 'millions'),
    [('small', 21), ('base', 86), ('large', 300), ('giant', 1100)],
)
def test_variants_of_dinov2_are_as_large_as_published(name, millions):
  params = jax.eval_shape(
      backbones.build(f'vit/dinov2_{name}').init,
      jax.random.key(0),
      jax.ShapeDtypeStruct((1, 28, 28, 3), np.float32),
  )['params']
  assert params['embed']['positions'].shape[1] == 1 + 37 * 37
  count = sum(x.size for x in jax.tree.leaves(params))
  assert abs(count - 1e6 * millions) < 0.06e6 * millions


def test_registers_stand_between_class_token_and_patches(variables):
  registers = np.asarray(random(1, 2, 16))
  embed = {**variables['params']['embed'], 'registers': registers}
  fields = dict(width=16, patch=16, image_size=(32, 48), bias=True)
  image = random(2, 32, 48, 3)
  plain, more = (
      vit.Embed(**fields, method='bicubic', registers=count).apply(
          {'params': embed}, image
      )
      for count in (0, 2)
  )
  np.testing.assert_array_equal(more[:, :1], plain[:, :1])
  np.testing.assert_array_equal(more[:, 1:3], np.tile(registers, (2, 1, 1)))
  np.testing.assert_array_equal(more[:, 3:], plain[:, 1:])


def test_a_token_sees_what_its_mask_allows(variables):
  x = random(1, 5, 16)
  block = vit.Block(heads=2)
  params = {'params': variables['params']['block0']}
  mask = np.ones((1, 5, 5), bool)
  mask[:, 1:, 0] = False  # Nobody else sees the first token.
  changed = x.at[:, 0].multiply(-3 * x[:, 1])
  seen, unseen = (
      block.apply(params, changed, m)[:, 1:] - block.apply(params, x, m)[:, 1:]
      for m in (None, mask)
  )
  assert np.abs(seen).max() > 1e-3
  np.testing.assert_array_equal(unseen, 0.0)


@pytest.mark.parametrize('size', [(32, 48), (48, 32), (33, 70), (7, 100)])
def test_features_of_any_image_are_a_sixteenth_of_it_rounded_up(
    variables, size
):
  model = MODEL.clone(taps=(0, 2))
  feats = jax.jit(model.apply)(variables, random(2, *size, 3))
  assert list(feats) == ['block0', 'block2']
  for feat in feats.values():
    assert feat.shape == (2, -(-size[0] // 16), -(-size[1] // 16), 16)


def test_without_taps_the_last_block_is_returned(variables):
  assert list(jax.jit(MODEL.apply)(variables, random(1, 32, 48, 3))) == [
      'block2'
  ]


def test_a_tap_that_is_no_block_is_refused(variables):
  model = MODEL.clone(taps=(0, 3))
  with pytest.raises(ValueError, match=r'taps=\(0, 3\): .* 0 to 2'):
    jax.jit(model.apply)(variables, random(1, 32, 48, 3))


def test_an_image_is_padded_with_zeros_at_the_bottom_and_the_right(variables):
  image = random(1, 27, 40, 3)
  padded = np.pad(image, ((0, 0), (0, 5), (0, 8), (0, 0)))
  np.testing.assert_array_equal(
      jax.jit(MODEL.apply)(variables, image)['block2'],
      jax.jit(MODEL.apply)(variables, padded)['block2'],
  )


def test_a_class_token_that_does_not_enter_has_no_influence(variables):
  image = random(1, 32, 48, 3)
  embed = dict(variables['params']['embed'])
  embed['class_token'] = embed['class_token'] + random(1, 1, 16)
  changed = {'params': {**variables['params'], 'embed': embed}}
  for enters in (True, False):
    model = MODEL.clone(class_token=enters)
    before = jax.jit(model.apply)(variables, image)['block2']
    after = jax.jit(model.apply)(changed, image)['block2']
    assert np.allclose(before, after) != enters


def test_the_final_norm_is_on_the_last_block_alone(variables):
  image = random(1, 32, 48, 3)
  plain, normed = (
      jax.jit(MODEL.clone(taps=(1, 2), final_norm=norm).apply)(variables, image)
      for norm in (False, True)
  )
  np.testing.assert_array_equal(plain['block1'], normed['block1'])
  x = np.array(plain['block2'])
  x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
  scale = variables['params']['norm']['scale']
  np.testing.assert_allclose(normed['block2'], x * scale, rtol=1e-3, atol=1e-3)


def test_class_logits_are_one_row_for_an_image():
  for class_token in (True, False):
    model = MODEL.clone(num_classes=7, class_token=class_token)
    feats, _ = jax.eval_shape(
        model.init_with_output, jax.random.key(0), random(2, 32, 48, 3)
    )
    assert feats['class_logits'].shape == (2, 7)
