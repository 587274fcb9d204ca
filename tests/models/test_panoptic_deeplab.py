import jax
import numpy as np
import pytest

from segjax import models

FIELDS = dict(
    backbone='resnet/tiny',
    rates=(1, 2),
    aspp_features=8,
    features=8,
    instance_features=8,
    head_features=4,
    low_features=(4, 4, 4),
    instance_low_features=(4, 4, 4),
)
IMAGE = jax.ShapeDtypeStruct((2, 65, 97, 3), np.float32)


@pytest.mark.parametrize(
    'fields', [{}, dict(align_corners=False, separable_center=False)]
)
def test_centres_and_offsets_have_the_size_of_the_image(fields):
  model = models.create('panoptic_deeplab', 5, **FIELDS, **fields)
  out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), IMAGE)
  assert {name: x.shape for name, x in out.items() if name != 'aux'} == {
      'logits': (2, 65, 97, 5),
      'center': (2, 65, 97),
      'offset': (2, 65, 97, 2),
  }


def test_offsets_are_numbers_of_pixels_of_the_image(random_variables):
  model = models.create('panoptic_deeplab', 5, **FIELDS)
  variables = random_variables(model, IMAGE.shape)
  image = jax.random.normal(jax.random.key(0), IMAGE.shape)
  out, captured = model.apply(
      variables, image, capture_intermediates=True, mutable=['intermediates']
  )
  coarse = captured['intermediates']['offset']['__call__'][0]
  # With aligned corners, every fourth pixel is one of the coarse grid.
  np.testing.assert_allclose(
      out['offset'][:, ::4, ::4], 4 * coarse, rtol=1e-4, atol=1e-5
  )
