import jax
import jax.numpy as jnp
import pytest

from segjax import models

IMAGE = jax.ShapeDtypeStruct((1, 65, 97, 3), jnp.float32)


def traced(**fields):
  """Shapes of logits, of what stages return, and of variables."""
  model = models.create('linknet', 5, **fields)
  (out, inner), variables = jax.eval_shape(
      lambda x: (
          model.init_with_output(
              jax.random.key(0), x, capture_intermediates=True
          ),
          model.init(jax.random.key(0), x),
      ),
      IMAGE,
  )
  stages = {
      name: value['__call__'][0].shape[1:]
      for name, value in inner['intermediates'].items()
      if name.startswith('up_')
  }
  return out['logits'].shape, stages, variables['params']


def test_the_last_stage_of_the_paper_stays_at_stride_4():
  logits, stages, params = traced(backbone='resnet/tiny')
  assert logits == (1, 65, 97, 5)
  assert stages == {
      'up_c4': (5, 7, 64),
      'up_c3': (9, 13, 32),
      'up_c2': (17, 25, 16),
      'up_c1': (17, 25, 16),
  }
  assert params['up_c1']['enlarge']['conv']['kernel'].shape == (3, 3, 4, 4)
  assert params['classifier']['kernel'].shape == (2, 2, 5, 32)


def test_stages_of_the_library_go_on_to_the_size_of_the_image():
  logits, stages, params = traced(backbone='resnet/18', variant='smp')
  assert logits == (1, 65, 97, 5)
  assert stages == {
      'up_c4': (5, 7, 256),
      'up_c3': (9, 13, 128),
      'up_c2': (17, 25, 64),
      'up_c1': (33, 49, 64),
      'up_image': (65, 97, 32),
  }
  # segmentation_models_pytorch: 11,663,909 of 5 classes.
  assert sum(x.size for x in jax.tree.leaves(params)) == 11_663_909


def test_skips_are_added_to_what_the_stages_return(random_variables):
  model = models.create('linknet', 3, backbone='resnet/tiny')
  image = jax.random.normal(jax.random.key(0), (1, 64, 64, 3))
  variables = random_variables(model, image.shape)
  # Without a kernel, a stage returns what its last norm adds, everywhere.
  for level in ('c4', 'c3', 'c2', 'c1'):
    widen = variables['params'][f'up_{level}']['widen']
    widen['conv']['kernel'] = 0 * widen['conv']['kernel']
  logits = jax.jit(model.apply)(variables, image)['logits']
  # What differs between places comes of the skip of the stem alone.
  assert jnp.std(logits, (1, 2)).min() > 1e-3


def test_other_variants_are_refused():
  with pytest.raises(ValueError, match="'e-lab'. Known: paper, smp"):
    traced(variant='e-lab')
