import jax
import numpy as np
import pytest

from configs import deconvnet
from segjax import models
from segjax.data import transforms

FIELDS = dict(depths=(1, 1), width=2, hidden=4, hidden_kernel=7)


def test_a_small_image_gets_a_border_of_zeros(random_variables):
  model = models.create('deconvnet', 3, **FIELDS)
  image = jax.random.normal(jax.random.key(0), (1, 20, 31, 3))
  variables = random_variables(model, image.shape)
  small = jax.jit(model.apply)(variables, image)['logits']
  padded = np.pad(image, ((0, 0), (0, 8), (0, 0), (0, 0)))  # To 7 * 4.
  whole = jax.jit(model.apply)(variables, padded)['logits']
  assert small.shape == (1, 20, 31, 3)
  np.testing.assert_allclose(small, whole[:, :20], atol=1e-5)


@pytest.mark.parametrize(('stage', 'overlap'), [('1', 1.0), ('2', 0.5)])
def test_a_stage_has_crops_of_its_own(stage, overlap):
  config = deconvnet.get_config(f'voc2012,stage={stage}')
  ops = transforms.parse(config.preprocess.train)
  (crop,) = (op for op in ops if isinstance(op, transforms.ObjectCrop))
  assert crop.overlap == overlap
  assert transforms.static_size(ops) == (224, 224)


def test_an_unknown_stage_is_refused():
  with pytest.raises(ValueError, match="stage is 1, 2 or '', not '3'"):
    deconvnet.get_config('voc2012,stage=3')
