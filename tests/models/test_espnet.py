import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.data import transforms
from segjax.models import espnet
from segjax.ops.targets import shrink_label

CLASSES = 6


def create(**fields):
  return models.create(
      'espnet', CLASSES, **{'depths': (1, 1), 'features': (4, 8, 12), **fields}
  )


def test_the_first_branch_has_the_channels_that_are_left_over():
  x = jax.ShapeDtypeStruct((1, 9, 9, 14), jnp.float32)
  params = jax.eval_shape(
      lambda x: espnet.ESP(14).init(jax.random.key(0), x, False), x
  )['params']
  widths = {
      name: params[name]['kernel'].shape[-1]
      for name in params
      if name != 'join'
  }
  rates = {f'rate{rate}': 2 for rate in (2, 4, 8, 16)}
  assert widths == {'reduce': 2, 'rate1': 6, **rates}


def test_branches_from_the_second_on_are_added_up():
  pyramid = espnet.ESP(10, residual=False)
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1, 5, 6, 4)).astype(np.float32)
  variables = jax.tree.map(
      lambda x: np.ones(x.shape, np.float32),
      jax.eval_shape(lambda: pyramid.init(jax.random.key(0), x, False)),
  )
  variables['batch_stats']['join']['norm']['mean'][:] = 0
  layers = variables['params']
  layers['join']['act']['slope'][:] = 0.5
  layers['reduce']['kernel'] = rng.normal(size=(1, 1, 4, 2)).astype(np.float32)
  # Each rate sees the pixel itself alone, with a weight of 1 to 5.
  for i, rate in enumerate(espnet.DILATIONS, 1):
    kernel = np.zeros((3, 3, 2, 2), np.float32)
    kernel[1, 1] = i * np.eye(2)
    layers[f'rate{rate}']['kernel'] = kernel
  y = jax.jit(lambda x: pyramid.apply(variables, x, False))(x)
  reduced = x @ layers['reduce']['kernel'][0, 0]
  sums = np.concatenate([n * reduced for n in (1, 2, 5, 9, 14)], -1)
  sums = sums / np.sqrt(1 + 1e-3) + 1
  expected = np.where(sums < 0, 0.5 * sums, sums)
  np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', [(64, 96), (61, 90), (9, 17)])
def test_scores_have_the_size_of_an_image_of_any_size(size):
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  for decoder in (True, False):
    out, _ = jax.eval_shape(
        create(decoder=decoder).init_with_output, jax.random.key(0), image
    )
    assert out['logits'].shape == (1, *size, CLASSES)
    assert ('coarse' in out) != decoder
    if not decoder:
      coarse = tuple(-(-side // 8) for side in size)
      assert out['coarse'].shape == (1, *coarse, CLASSES)


def test_the_encoder_alone_has_the_names_that_it_has_under_the_decoder():
  image = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
  with_decoder, alone = (
      jax.eval_shape(create(decoder=on).init, jax.random.key(0), image)[
          'params'
      ]
      for on in (True, False)
  )
  assert set(alone) == {'encoder'}
  assert alone['encoder'] == with_decoder['encoder']


def test_too_few_classes_for_the_decoder_are_refused():
  model = models.create('espnet', 4)
  with pytest.raises(ValueError, match='takes 5 classes at least'):
    jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 16, 16, 3)))


def test_the_encoder_is_compared_with_labels_at_stride_8():
  label = np.arange(2 * 16 * 24).reshape(2, 16, 24) % CLASSES
  out = {'logits': 'fine', 'aux': {}, 'coarse': np.zeros((2, 2, 3, CLASSES))}

  def base(out, batch, rng):
    del rng
    return out['logits'], batch['label']

  def given(out, **options):
    return espnet.loss(
        out, {'label': label}, jax.random.key(0), base=base, **options
    )

  logits, shrunk = given(out, coarse=True)
  assert logits is out['coarse']
  np.testing.assert_array_equal(shrunk, shrink_label(label, (2, 3)))
  assert given(out) == ('fine', pytest.approx(label))
  decoded = {'logits': 'fine', 'aux': {}}
  assert given(decoded, coarse=True)[0] == 'fine'


def test_the_config_of_the_encoder_has_twice_the_batch():
  get_config = importlib.import_module('configs.espnet').get_config
  first, second = (
      get_config(f'cityscapes,decoder={on}') for on in (False, True)
  )
  assert (first.batch_size, second.batch_size) == (12, 6)
  assert first.system_loss.coarse
  assert not second.system_loss.coarse
  assert second.total_steps == 2 * first.total_steps


def test_the_five_sizes_of_training_suit_encoder_and_decoder():
  config = importlib.import_module('configs.espnet').get_config('cityscapes')
  specs = transforms.in_turn(config.preprocess.train)
  sizes = [transforms.static_size(transforms.parse(spec)) for spec in specs]
  assert sizes == [
      *((768, 1536), (720, 1280), (256, 512), (384, 768), (512, 1024)),
  ]
  assert not np.any(np.array(sizes) % 8)
