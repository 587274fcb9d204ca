import jax
import numpy as np

from segjax import models

FIELDS = dict(
    backbone='axial_resnet/tiny',
    aspp_features=8,
    features=8,
    instance_features=8,
    head_features=4,
    low_features=(4, 4),
    instance_low_features=(4, 4),
)


def test_one_convolution_stands_for_aspp_and_heads_predict_at_full_size():
  model = models.create('axial_deeplab', 5, **FIELDS)
  image = jax.ShapeDtypeStruct((2, 66, 97, 3), np.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert set(variables['params']['semantic']['aspp']) == {'conv', 'norm'}
  assert {name: x.shape for name, x in out.items() if name != 'aux'} == {
      'logits': (2, 66, 97, 5),
      'center': (2, 66, 97),
      'offset': (2, 66, 97, 2),
  }


def test_pixels_of_a_row_see_each_other(random_variables):
  model = models.create('axial_deeplab', 3, **FIELDS)
  shape = (1, 33, 161, 3)
  variables = random_variables(model, shape)
  image = jax.random.normal(jax.random.key(0), shape)
  changed = image.at[:, :, -8:].add(1.0)
  before, after = (
      model.apply(variables, x)['logits'][:, :, 0] for x in (image, changed)
  )
  # The other end is beyond what the convolutions in front of attention see.
  assert np.abs(before - after).max() > 1e-6
