import types

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax import system
from segjax.data.label_map import numbered
from segjax.inference import whole
from segjax.inference.views import Inference
from segjax.losses.binary_cross_entropy import binary_cross_entropy
from tests.systems import system_of

CLASSES = 3


class Net(nn.Module):
  """Logits of the pixels, and outputs of several types."""

  num_classes: int = CLASSES
  multiple: int = 1
  sides: tuple[int, int] | None = None
  reads = ('image', 'proposals')
  train_reads = ('image', 'proposals', 'progress')

  @nn.compact
  def __call__(self, image, proposals, progress=None, *, train=False):
    assert all(side % self.multiple == 0 for side in image.shape[1:3])
    assert self.sides in (None, image.shape[1:3])
    logits = nn.Dense(self.num_classes, name='classifier')(image)
    out = {
        'logits': logits,
        'aux': {'half': logits[:, ::2, ::2], 'whole': logits},
        'ids': proposals.sum(-1).astype(jnp.int32),
        'halves': logits * jnp.bfloat16(0.5),
    }
    if train:
      out['progress'] = progress
    return out


def make_batch(height=6, width=8):
  rng = np.random.default_rng(0)
  return {
      'image': rng.normal(size=(2, height, width, 3)).astype(np.float32),
      'proposals': rng.integers(0, 2, (2, height, width, 4)).astype(np.uint8),
      'label': rng.integers(0, CLASSES, (2, height, width)).astype(np.uint8),
      'progress': np.float32(0.25),
  }


@pytest.fixture
def hooked(monkeypatch):
  """Returns a function: the system of a net whose file has some functions."""

  def build(**functions):
    options = functions.pop('options', {})
    monkeypatch.setattr(models, 'names', lambda: ['hooked'])
    file = types.SimpleNamespace(**functions)
    monkeypatch.setattr(models, 'module', lambda name: file)
    return system.build('hooked', Net(), numbered(CLASSES), **options)

  return build


def apply(built, batch, **options):
  variables = built.init(0, batch['image'].shape)
  return built.apply(variables, batch, **options)[0]


def test_a_model_is_given_the_fields_that_it_names():
  batch = make_batch()
  out = apply(system_of(Net(), CLASSES), batch)
  np.testing.assert_array_equal(out['ids'], batch['proposals'].sum(-1))
  assert 'progress' not in out
  out = apply(system_of(Net(), CLASSES), batch, train=True)
  assert out['progress'] == 0.25


def test_outputs_are_float32_but_integers_stay():
  out = apply(system_of(Net(), CLASSES, dtype='bfloat16'), make_batch())
  assert out['ids'].dtype == jnp.int32
  assert {out[name].dtype for name in ('logits', 'halves')} == {
      jnp.dtype('float32')
  }


def test_auxiliary_heads_have_factors_of_their_own_and_may_be_coarse():
  batch = make_batch()
  factors = {'half': 0.5, 'whole': 2.0}
  built = system_of(Net(), CLASSES, aux=factors)
  out = apply(built, batch)
  total, parts = built.loss(out, batch, None)
  cross_entropy = parts['cross_entropy']
  np.testing.assert_allclose(parts['aux_whole'], cross_entropy, rtol=1e-6)

  # Cells of 2x2 pixels are compared with the label of their last pixel.
  log_p = jax.nn.log_softmax(out['aux']['half'])
  label = batch['label'][:, 1::2, 1::2, None].astype(int)
  expected = -np.take_along_axis(np.asarray(log_p), label, -1).mean()
  np.testing.assert_allclose(parts['aux_half'], expected, rtol=1e-5)
  np.testing.assert_allclose(
      total, 3 * cross_entropy + 0.5 * parts['aux_half'], rtol=1e-6
  )
  lacking = system_of(Net(), CLASSES, aux={'half': 0.5})
  with pytest.raises(ValueError, match="no factor of the auxiliary head 'who"):
    lacking.loss(out, batch, None)


def test_auxiliary_heads_may_have_a_loss_of_their_own():
  batch = make_batch()
  built = system_of(Net(), CLASSES, aux=0.5, aux_loss='binary_cross_entropy')
  out = apply(built, batch)
  total, parts = built.loss(out, batch, None)
  expected = binary_cross_entropy(out['logits'], batch['label'])
  np.testing.assert_allclose(parts['aux_whole'], expected, rtol=1e-6)
  np.testing.assert_allclose(
      total,
      parts['cross_entropy'] + 0.5 * (expected + parts['aux_half']),
      rtol=1e-6,
  )
  with pytest.raises(ValueError, match="'proposals' has no auxiliary heads"):
    system_of(Net(), CLASSES, task='proposals', aux_loss='dice')


def test_a_model_file_adds_terms_to_the_loss_of_its_task(hooked):
  def loss(out, batch, rng, *, base, weight=1.0):
    total, parts = base(out, batch, rng)
    ids = out['ids'].mean()
    return total + weight * ids, {**parts, 'ids': ids}

  batch = make_batch()
  built = hooked(loss=loss, options={'system_loss': {'weight': 10.0}})
  out = apply(built, batch)
  total, parts = built.loss(out, batch, None)
  plain, _ = system_of(Net(), CLASSES).loss(out, batch, None)
  np.testing.assert_allclose(total, plain + 10 * parts['ids'], rtol=1e-6)
  with pytest.raises(ValueError, match='no option wieght. Known: weight'):
    hooked(loss=loss, options={'system_loss': {'wieght': 10.0}})


def test_options_of_a_loss_that_does_not_exist_are_refused():
  with pytest.raises(ValueError, match='has weight, and net adds no terms'):
    system_of(Net(), CLASSES, system_loss={'weight': 1.0})


def test_a_model_file_predicts_by_several_applications(hooked):
  def predict(model, apply, batch, key):
    del model, key
    out = apply(batch, None)
    flipped = {**batch, 'image': batch['image'][:, :, ::-1]}
    other = apply(flipped, None)['logits'][:, :, ::-1]
    return {'logits': out['logits'] + other, 'aux': {}}

  batch = make_batch()
  built = hooked(predict=predict)
  variables = built.init(0, batch['image'].shape)
  predicted = built.predict(
      lambda batch, key: built.apply(variables, batch)[0],
      batch,
      jax.random.key(0),
  )
  logits = built.apply(variables, batch)[0]['logits']
  np.testing.assert_allclose(predicted['logits'], 2 * logits, atol=1e-5)


def test_a_model_file_may_apply_the_model_to_images_of_other_sizes(hooked):
  def twice(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)

  def predict(model, apply, batch, key):
    del model
    spatial = {name: twice(batch[name]) for name in ('image', 'proposals')}
    out = apply({**batch, **spatial}, key)
    return {'logits': out['logits'][:, ::2, ::2], 'aux': {}}

  batch = make_batch()
  built = hooked(predict=predict)
  variables = built.init(0, batch['image'].shape)
  predicted = built.predict(
      lambda batch, key: built.apply(variables, batch)[0], batch, None
  )
  expected = built.apply(variables, batch)[0]['logits']
  np.testing.assert_allclose(predicted['logits'], expected, atol=1e-6)


def test_prediction_pads_to_the_multiple_of_a_model_and_crops():
  batch = make_batch(6, 9)
  built = system_of(Net(multiple=4), CLASSES)
  variables = built.init(0, (1, 8, 8, 3))
  predicted = built.predict(
      lambda batch, key: built.apply(variables, batch)[0], batch, None
  )
  free = system_of(Net(), CLASSES)
  expected = free.apply(variables, batch)[0]['logits']
  np.testing.assert_allclose(predicted['logits'], expected, atol=1e-6)


def test_a_model_of_fixed_sides_is_given_no_other():
  batch = make_batch(6, 9)
  built = system_of(Net(sides=(8, 10)), CLASSES)
  variables = built.init(0, (1, 8, 10, 3))

  def predict(batch):
    return built.predict(
        lambda batch, key: built.apply(variables, batch)[0], batch, None
    )

  free = system_of(Net(), CLASSES)
  expected = free.apply(variables, batch)[0]['logits']
  np.testing.assert_allclose(predict(batch)['logits'], expected, atol=1e-6)
  with pytest.raises(ValueError, match=r"'slide' .*window=\(8, 10\)"):
    predict(make_batch(6, 11))
  built.check_crop(8, 10, 0)
  with pytest.raises(ValueError, match=r'write random_crop\(8, 10\)'):
    built.check_crop(8, 8, 0)


def test_a_crop_that_does_not_fit_is_answered_with_one_that_does():
  built = system_of(Net(multiple=32), CLASSES)
  built.check_crop(64, 96, 0)
  with pytest.raises(ValueError, match='70 x 20: 64 x 32 would fit'):
    built.check_crop(70, 20, 0)


def test_whole_images_of_several_sizes_are_predicted_in_order():
  """Objects of two windows are not the same, so nothing is averaged."""
  batches = []

  def forward(batch):
    batches.append(batch['image'].shape)
    ids = batch['image'][..., 0].astype(np.int32)
    return {'segments': ids, 'classes': ids.reshape(len(ids), -1)[:, :2]}

  def example(i, size, label):
    image = np.full((*size, 1), 70_000 + i, np.float32)
    return {'image': image, 'size': label, 'name': i}

  stream = [
      example(0, (4, 6), (8, 12)),
      example(1, (4, 6), (4, 6)),
      example(2, (4, 6), (4, 6)),
      example(3, (5, 6), (5, 6)),
  ]
  found = list(whole.predict(forward, stream, Inference(batch_size=2)))
  assert [e['name'] for e, _ in found] == [0, 1, 2, 3]
  assert batches == [(2, 4, 6, 1), (2, 4, 6, 1), (2, 5, 6, 1)]
  for i, (shown, prediction) in enumerate(found):
    assert prediction['segments'].shape == shown['size']
    assert (prediction['segments'] == 70_000 + i).all()
    assert prediction['classes'].tolist() == [70_000 + i] * 2


@pytest.mark.parametrize(
    'options', [{'flip': True}, {'scales': (0.5, 1.0)}, {'mode': 'slide'}]
)
def test_views_of_a_whole_image_are_refused(options):
  with pytest.raises(ValueError, match=f'predict.{next(iter(options))}='):
    next(whole.predict(None, [], Inference(**options)))
