import jax
import pytest

from segjax import backbones
from tests.backbones.shapes import shapes


def kinds(variables):
  """Names of blocks with attention."""
  return sorted(
      name
      for name, block in variables['params'].items()
      if 'attention' in block
  )


@pytest.mark.parametrize(
    ('name', 'axial'),
    [
        ('max_s', [*(f'stage4_{i}' for i in range(1, 6))] + ['stage5_*']),
        ('swidernet', ['stage4_1', 'stage4_2', 'stage5_*']),
        ('deeplab_s', ['stage2_*', 'stage3_*', 'stage4_*', 'stage5_*']),
    ],
)
def test_blocks_attend_from_a_stride_on(name, axial):
  feats, variables = shapes(f'axial_resnet/{name}', (1, 65, 97, 3))
  found = kinds(variables)
  for pattern in axial:
    stage, _, index = pattern.partition('_')
    blocks = [x for x in found if x.startswith(stage)]
    all_blocks = [x for x in variables['params'] if x.startswith(stage)]
    if index == '*':
      assert len(blocks) == len(all_blocks)
    else:
      assert pattern in blocks
      assert f'{stage}_0' not in blocks
  stages = {pattern.partition('_')[0] for pattern in axial}
  assert {x.partition('_')[0] for x in found} == stages
  assert feats['c5'].shape[1:3] == (5, 7)


def test_tables_of_classifiers_fit_images_of_224_pixels():
  _, variables = shapes('axial_resnet/26_s', num_classes=3)
  for block, rows in {
      'stage2_0': 2 * 56 - 1,
      'stage3_0': 2 * 56 - 1,
      'stage3_1': 2 * 28 - 1,
      'stage5_0': 2 * 14 - 1,
  }.items():
    for axis in ('height', 'width'):
      attention = variables['params'][block]['attention'][axis]
      assert attention['query_position'].shape[0] == rows


def test_what_is_changed_on_the_way_is_read_by_the_next_block():
  def after(name, x):
    return x[..., :8] if name == 'c4_0' else x

  _, variables = shapes('axial_resnet/tiny', depths=(1, 1, 2, 1), after=after)
  kernel = variables['params']['stage4_1']['conv1']['conv']['kernel']
  assert kernel.shape[2] == 8


def test_an_output_stride_of_8_is_refused():
  with pytest.raises(ValueError, match='output_stride=8: .* 16 or 32'):
    jax.eval_shape(
        backbones.build('axial_resnet/tiny(output_stride=8)').init,
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, 32, 32, 3), float),
    )
