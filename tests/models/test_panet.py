import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import panet

CLASSES = 4


def loss(scores, labels, **options):
  return panet.loss(
      {'image_logits': np.float32(scores)},
      {'label': labels},
      jax.random.key(0),
      base=lambda *_: (3.0, {'cross_entropy': 3.0}),
      **options,
  )


@pytest.mark.parametrize('dtype', [np.uint8, np.int32])
def test_presence_is_of_all_classes_but_the_background(dtype):
  labels = np.zeros((2, 3, 4), dtype)
  labels[0, 0, 0] = 2
  labels[1, 1, 1] = 255
  scores = np.array([[0.5, -1.0, 2.0], [1.5, 0.1, -0.3]])
  probability = 1 / (1 + np.exp(-scores))
  occurs = np.array([[0, 1, 0], [0, 0, 0]], bool)
  expected = -np.log(np.where(occurs, probability, 1 - probability)).mean()
  total, parts = loss(scores, labels)
  np.testing.assert_allclose(parts['presence'], expected, rtol=1e-6)
  np.testing.assert_allclose(total, 3 + expected, rtol=1e-6)
  total, _ = loss(scores, labels, presence_weight=0.5)
  np.testing.assert_allclose(total, 3 + 0.5 * expected, rtol=1e-6)


@pytest.mark.parametrize('size', [(128, 128), (33, 50)])
@pytest.mark.parametrize('classes', [1, 4])
def test_any_size_fits_and_one_channel_does_too(size, classes):
  model = models.create(
      'panet', classes, backbone='resnet/tiny(output_stride=16)'
  )
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out['logits'].shape == (2, *size, classes)
  assert out['image_logits'].shape == (2, max(classes - 1, 1))
  # Only where the sizes differ is there anything to enlarge.
  assert [
      sorted(variables['params'][f'upsample_{level}'])
      for level in ('c4', 'c3', 'c2')
  ] == [['fine', 'gate', 'reduce']] + 2 * [['enlarge', 'fine', 'gate']]


def test_the_scores_of_images_train_nothing_but_their_layer():
  """Also not the backbone, whose features they read."""
  model = models.create(
      'panet', CLASSES, backbone='resnet/tiny(output_stride=16)'
  )
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)

  def gradient(variables, image):
    def scores(image):
      return model.apply(variables, image)['image_logits'].sum()

    return jax.grad(scores)(image)

  program = jax.make_jaxpr(gradient)(variables, image)
  # The gradient to the image is a constant: nothing computes with scores.
  used = jax.interpreters.partial_eval.dce_jaxpr(program.jaxpr, [True])[1]
  assert not any(used)
