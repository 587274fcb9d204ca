from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import denseaspp as configs
from segjax import models
from segjax.data import transforms
from segjax.models import denseaspp

CLASSES = 4


def create(**fields):
  return models.create(
      'denseaspp',
      CLASSES,
      **{
          'backbone': 'resnet/tiny',
          'rates': (1, 2, 3),
          'bottleneck': 8,
          'growth': 4,
          **fields,
      },
  )


def test_each_branch_reads_the_backbone_and_all_branches_before_it():
  read, rates = [], {}

  def record(call, args, kwargs, context):
    if isinstance(context.module, denseaspp.AtrousBranch):
      read.append(args[0].shape[-1])
    if context.module.name == 'atrous' and context.method_name == '__call__':
      rates[context.module.path[0]] = context.module.kernel_dilation
    return call(*args, **kwargs)

  model = models.create('denseaspp', CLASSES)
  image = jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32)
  with nn.intercept_methods(record):
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
  assert read == [512, 576, 640, 704, 768]
  assert rates == {f'branch{i}': r for i, r in enumerate((3, 6, 12, 18, 24))}
  assert variables['params']['classifier']['kernel'].shape[2] == 832
  # The backbone ends in the norm that the first branch would begin with.
  params = variables['params']
  assert [i for i in range(5) if 'norm' in params[f'branch{i}']] == [1, 2, 3, 4]


def test_dropout_takes_whole_channels_of_an_image():
  branch = denseaspp.AtrousBranch(
      bottleneck=8, growth=32, rate=2, dropout=0.5, momentum=0.9
  )
  x = jax.random.normal(jax.random.key(0), (3, 5, 6, 8))
  variables = branch.init(jax.random.key(1), x, False)
  y, _ = branch.apply(
      variables,
      x,
      True,
      rngs={'dropout': jax.random.key(2)},
      mutable=['batch_stats'],
  )
  zero = np.asarray(y == 0)
  np.testing.assert_array_equal(zero.all((1, 2)), zero.any((1, 2)))
  share = zero.all((1, 2)).mean()
  assert 0.3 < share < 0.7
  assert (zero[0, 0, 0] != zero[1, 0, 0]).any()


def test_momentum_is_that_of_the_branches_alone(random_variables):
  model = create(momentum=1.0)
  image = jax.random.normal(jax.random.key(0), (1, 32, 48, 3))
  variables = random_variables(model, image.shape)
  _, changed = jax.jit(
      lambda variables: model.apply(
          variables,
          image,
          train=True,
          rngs={'dropout': jax.random.key(0)},
          mutable=['batch_stats'],
      )
  )(variables)
  for name, before in variables['batch_stats'].items():
    after = changed['batch_stats'][name]
    for old, new in zip(*map(jax.tree.leaves, (before, after)), strict=True):
      assert np.array_equal(old, new) == name.startswith('branch'), name


@pytest.mark.parametrize(
    ('arg', 'expected'),
    [
        ('', 'densenet/tiny(output_stride=8, halve=True)'),
        ('cityscapes', 'densenet/121(output_stride=8, halve=True)'),
        ('backbone=resnet/18', 'resnet/18(output_stride=8)'),
    ],
)
def test_the_config_halves_the_channels_of_a_densenet(arg, expected):
  assert configs.get_config(arg).model.backbone == expected


def test_the_config_for_cityscapes_normalizes_by_the_authors_statistics():
  config = configs.get_config('cityscapes')
  mean = 255 * np.array([0.290101, 0.328081, 0.286964])
  std = 255 * np.array([0.182954, 0.186566, 0.184475])
  for ops in (config.preprocess.train, config.preprocess.eval):
    normalize = transforms.parse(ops)[-1]
    np.testing.assert_allclose(normalize.mean, mean, atol=1e-3)
    np.testing.assert_allclose(normalize.std, std, atol=1e-3)
