import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models

QUERIES = 3
FIELDS = dict(
    backbone=(
        'vit/tiny(width=8, depth=3, heads=2, patch=8, image_size=(16, 24),'
        ' registers=2, class_position=False)'
    ),
    queries=QUERIES,
    blocks=2,
    upscales=1,
    annealing=(0.2, 0.4, 0.8),
)
MODEL = models.create('eomt', 4, **FIELDS)


def mask(masks, progress, shares=(0.2, 0.4)):
  """Which tokens see which, for 2x3 patches behind queries and 3 others."""
  return np.asarray(
      MODEL.apply(
          {},
          masks,
          QUERIES + 3 + 6,
          (2, 3),
          shares,
          progress,
          rngs={'sample': jax.random.key(0)},
          method='_mask',
      )
  )


def test_a_query_sees_the_patches_of_its_mask_and_all_other_tokens():
  logits = np.full((1, 2, 3, QUERIES), -1.0, np.float32)
  logits[0, 1, 2, 0] = 1.0
  seen = mask(logits, 0.1)
  assert seen.shape == (1, 12, 12)
  assert seen[0, :QUERIES, :6].all()
  assert seen[0, QUERIES:].all()
  assert seen[0, 0, 6:].tolist() == [False] * 5 + [True]
  assert not seen[0, 1:QUERIES, 6:].any()


@pytest.mark.parametrize(
    ('progress', 'masked'), [(0.2, 1.0), (0.3, 0.5**0.9), (0.4, 0.0)]
)
def test_masks_go_from_more_and_more_queries(progress, masked):
  logits = np.full((400, 2, 3, QUERIES), -1.0, np.float32)
  seen = mask(logits, progress)[:, :QUERIES, 6:]
  free = seen.all(-1)
  assert (free == seen.any(-1)).all()
  assert abs(free.mean() - (1 - masked)) < 0.05


def test_at_the_end_training_predicts_as_prediction_does(random_variables):
  variables = random_variables(MODEL, (1, 16, 24, 3))
  # Of the opposite logits, masks cover few patches.
  head = dict(variables['params']['head'])
  head['mask3'] = jax.tree.map(jnp.negative, head['mask3'])
  variables = {'params': {**variables['params'], 'head': head}}
  image = np.random.default_rng(0).normal(size=(1, 16, 24, 3))

  @jax.jit
  def train(progress):
    return MODEL.apply(
        variables,
        image,
        progress=progress,
        train=True,
        rngs={'sample': jax.random.key(0)},
    )

  begin, end = train(0.0), train(1.0)
  plain = jax.jit(MODEL.apply)(variables, image)
  assert begin['layer_mask_logits'].shape == (3, 1, 4, 6, QUERIES)
  for name in ('class_logits', 'mask_logits'):
    np.testing.assert_allclose(end[name], plain[name], atol=1e-5)
    np.testing.assert_array_equal(end[f'layer_{name}'][-1], end[name])
    # Before any block with queries, there is no mask yet.
    first = [out[f'layer_{name}'][0] for out in (begin, end)]
    np.testing.assert_array_equal(*first)
  assert not np.allclose(begin['class_logits'], end['class_logits'])


@pytest.mark.parametrize('annealing', [(0.2, 0.4), (0.2, 0.4, 0.4)])
def test_a_schedule_that_does_not_fit_is_refused(annealing):
  model = MODEL.clone(annealing=annealing)
  image = jax.ShapeDtypeStruct((1, 16, 24, 3), jnp.float32)
  with pytest.raises(ValueError, match='want 3 rising shares'):
    jax.eval_shape(model.init, jax.random.key(0), image)
