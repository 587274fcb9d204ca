import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.layers.jpu import JPU
from segjax.ops.resize import resize

SHAPES = (2, 9, 13, 5), (2, 5, 7, 6), (2, 3, 4, 7)  # [B, H, W, C] of levels.


def conv(variables, *path, x, dilation=1, groups=1):
  """A convolution and a norm with the statistics kept."""
  params, stats = variables['params'], variables['batch_stats']
  for name in path:
    params, stats = params[name], stats[name]
  kernel = params['conv']['kernel']
  pad = dilation * (kernel.shape[0] // 2)
  x = jax.lax.conv_general_dilated(
      x,
      kernel,
      window_strides=(1, 1),
      padding=((pad, pad), (pad, pad)),
      rhs_dilation=(dilation, dilation),
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      feature_group_count=groups,
  )
  norm = params['norm']
  std = np.sqrt(stats['norm']['var'] + 1e-5)
  return (x - stats['norm']['mean']) / std * norm['scale'] + norm['bias']


@pytest.mark.parametrize('align_corners', [False, True])
def test_levels_are_joined_from_fine_to_coarse_and_seen_at_every_dilation(
    align_corners,
):
  rng = np.random.default_rng(0)
  levels = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]
  jpu = JPU(4, dilations=(1, 3), align_corners=align_corners)
  variables = jax.tree.map(
      lambda x: rng.normal(size=x.shape).astype(np.float32),
      jax.eval_shape(lambda: jpu.init(jax.random.key(0), levels, False)),
  )
  variables['batch_stats'] = jax.tree.map(
      lambda x: 0.5 + np.abs(x), variables['batch_stats']
  )

  joined = jnp.concatenate(
      [
          resize(
              jax.nn.relu(conv(variables, f'level{i}', x=x)),
              (9, 13),
              align_corners=align_corners,
          )
          for i, x in enumerate(levels)
      ],
      -1,
  )
  branches = []
  for i, dilation in enumerate((1, 3)):
    path = f'dilated{i}'
    y = conv(
        variables, path, 'depthwise', x=joined, dilation=dilation, groups=12
    )
    assert (y < 0).any()  # Which an activation would hide.
    branches.append(jax.nn.relu(conv(variables, path, 'pointwise', x=y)))
  expected = jnp.concatenate(branches, -1)
  found = jax.jit(jpu.apply, static_argnums=2)(variables, levels, False)
  assert (expected > 0).any()
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
