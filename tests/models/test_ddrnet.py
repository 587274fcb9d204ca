import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import ddrnet

NARROW = dict(width=4, pyramid_features=4, head_features=4)


def shapes(size=(33, 41), **fields):
  model = models.create('ddrnet', 19, **fields)
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  return jax.eval_shape(model.init_with_output, jax.random.key(0), image)


# Millions of parameters without the auxiliary head, by the paper.
@pytest.mark.parametrize(
    ('fields', 'millions'),
    [({}, 5.7), (dict(width=64, head_features=128), 20.1)],
)
def test_there_are_as_many_parameters_as_published(fields, millions):
  _, variables = shapes(**fields, aux_head=False)
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert abs(sum(sizes) / 1e6 - millions) < 0.06


@pytest.mark.parametrize('size', [(1, 1), (63, 65), (64, 130)])
def test_any_size_has_logits_of_that_size(size):
  out, _ = shapes(size, **NARROW)
  assert out['logits'].shape == out['aux']['detail'].shape == (2, *size, 19)


def test_each_branch_reads_what_the_other_was_before_the_exchange():
  layer = ddrnet.Exchange((6, 8))
  rng = np.random.default_rng(0)
  detail = rng.normal(size=(1, 8, 10, 4)).astype(np.float32)
  context = rng.normal(size=(1, 2, 3, 8)).astype(np.float32)
  variables = layer.init(jax.random.key(0), detail, context, False)

  def run(**without):
    """The exchange, with convolutions of some names that return nothing."""
    params = {
        name: jax.tree.map(lambda x, name=name: x * without.get(name, 1), part)
        for name, part in variables['params'].items()
    }
    return layer.apply({**variables, 'params': params}, detail, context, False)

  fine, coarse = run()
  np.testing.assert_array_equal(run(up=0)[0], detail)
  np.testing.assert_array_equal(run(up=0)[1], coarse)
  np.testing.assert_array_equal(run(down2=0)[1], context)
  np.testing.assert_array_equal(run(down2=0)[0], fine)
  assert not np.allclose(fine, detail)
  assert not np.allclose(coarse, context)
