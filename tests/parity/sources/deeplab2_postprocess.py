"""DeepLab2: grouping of Panoptic-DeepLab, merging of MaX- and kMaX-DeepLab."""

import functools

import jax.numpy as jnp
import numpy as np

from segjax.ops import panoptic as ops
from segjax.ops.resize import resize
from tests.parity.case import FunctionCase

SIZE, DIVISOR, VOID = (49, 65), 1000, 255_000
THINGS = (3, 4, 5)
SETTINGS = {
    'k7': dict(nms=7),
    'k13': dict(nms=13, top_k=400),
    'k3': dict(nms=3),
    'thr3': dict(nms=7, threshold=0.3, top_k=400),
}
# Classes of the model are things first; this is what the data set calls them.
DATASET = np.array([3, 4, 5, 0, 1, 2])
IS_THING = np.array([True] * 3 + [False] * 3)


def semantic(inputs):
  return jnp.asarray(inputs['semantic_logits']).argmax(-1)


def groups(inputs, heat=1.0, threshold=0.1, nms=7, top_k=200):
  center = heat * jnp.asarray(inputs['center'][..., 0])
  points, count = ops.find_centers(
      center, threshold=threshold, nms=nms, top_k=top_k
  )
  return ops.group(jnp.asarray(inputs['offset']), points, count)


def instance(inputs, **options):
  things = np.isin(semantic(inputs), THINGS)
  return np.where(things, groups(inputs, **options), 0)


def panoptic(inputs, top_k=200, **options):
  """Numbers objects of a class by their first pixels."""
  is_thing = jnp.isin(jnp.arange(6), jnp.array(THINGS))
  segments, table = map(
      np.asarray,
      ops.merge(
          semantic(inputs),
          groups(inputs, top_k=top_k, **options),
          is_thing,
          top_k=top_k,
          stuff_area=40,
      ),
  )
  ids, counted = np.full(SIZE, VOID), dict.fromkeys(range(6), 0)
  numbers, places = np.unique(segments, return_index=True)
  for i in numbers[np.argsort(places)]:
    if i:
      kind = int(table[i - 1])
      counted[kind] += 1
      ids[segments == i] = kind * DIVISOR + counted[kind] * (kind in THINGS)
  return ids


def owners(inputs, way):
  masks = resize(
      jnp.asarray(inputs['mask_logits'])[None], SIZE, align_corners=True
  )[0]
  classes = jnp.asarray(inputs['class_logits'])
  if way == 'pixelwise':
    return ops.pixelwise_owners(
        classes, masks, threshold=0.6, pixel_threshold=0.4
    )
  return ops.maskwise_owners(
      classes,
      masks,
      jnp.asarray(IS_THING),
      thing_threshold=0.7,
      stuff_threshold=0.5,
      overlap=0.8,
      pixel_threshold=0.4,
  )


def region(inputs, way):
  """1 where a thing has a pixel, 2 where stuff has it, else 0."""
  owner, kinds, _ = map(np.asarray, owners(inputs, way))
  return np.append(0, np.where(IS_THING, 1, 2)[kinds])[owner]


def merged(inputs, way, thing_area=0, stuff_area=0):
  segments, table, _ = map(
      np.asarray,
      ops.merge_owners(
          *owners(inputs, way),
          jnp.asarray(IS_THING),
          thing_area=thing_area,
          stuff_area=stuff_area,
      ),
  )
  kinds = np.where(table < 6, table, 0)
  number = np.arange(1, 1 + len(table)) * IS_THING[kinds]
  return np.append(VOID, DATASET[kinds] * DIVISOR + number)[segments]


def of_way(way):
  options = dict(way=way)
  return {
      f'{way}_region': functools.partial(region, **options),
      f'{way}_panoptic': functools.partial(merged, **options),
      f'{way}_panoptic_limits': functools.partial(
          merged, thing_area=40, stuff_area=400, **options
      ),
  }


CASES = {
    'deeplab2_postprocess': FunctionCase(
        {
            'semantic': semantic,
            **{
                f'{name}_{setting}': functools.partial(function, **options)
                for setting, options in SETTINGS.items()
                for name, function in {
                    'instance': instance,
                    'panoptic': panoptic,
                }.items()
            },
            'panoptic_no_center': functools.partial(panoptic, heat=0.0),
            **of_way('pixelwise'),
            **of_way('maskwise'),
        },
        # Scores are those of segments here, a map is never cut in pieces, and
        # numbers and classes of masks hold beyond the regions there, too. With
        # more centres than it keeps, the original compares with the last of
        # unsorted scores.
        uncompared=(
            *(
                f'{name}_map_{setting}'
                for name in ('center', 'score')
                for setting in (*SETTINGS, 'k3_top5')
            ),
            *('instance_k3_top5', 'panoptic_k3_top5'),
            *(
                f'{way}_{name}'
                for way in ('pixelwise', 'maskwise', 'maskwise_pieces2')
                for name in (
                    *('mask_id', 'semantic'),
                    *('instance_score', 'semantic_score'),
                )
            ),
            *(
                f'maskwise_pieces2_{name}'
                for name in ('region', 'panoptic', 'panoptic_limits')
            ),
        ),
    ),
}
