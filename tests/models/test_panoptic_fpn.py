import jax
import numpy as np

from segjax import models
from segjax.models import panoptic_fpn

FIELDS = dict(
    backbone='resnet/tiny',
    pyramid_features=8,
    features=8,
    norm_groups=4,
    box_features=8,
    mask_features=8,
    mask_depth=1,
    before=(8, 8),
    proposals=(8, 8),
    detections=5,
)


def test_the_detector_may_have_other_classes_than_the_branch():
  model = models.create('panoptic_fpn', 54, object_classes=81, **FIELDS)
  image = jax.ShapeDtypeStruct((2, 65, 97, 3), np.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  params = variables['params']
  assert out['logits'].shape == (2, 65, 97, 54)
  head = params['detector']['box_head']
  assert head['classifier']['bias'].shape == (81,)
  assert head['deltas']['bias'].shape == (4 * 81,)
  assert params['classifier']['bias'].shape == (54,)


def test_the_branch_has_a_convolution_for_each_doubling_and_at_least_one():
  model = models.create('panoptic_fpn', 3, **FIELDS)
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), image)['params']
  branch = {name for name in params if '_conv' in name}
  assert branch == {
      *('c2_conv1', 'c3_conv1', 'c4_conv1', 'c4_conv2'),
      *('c5_conv1', 'c5_conv2', 'c5_conv3'),
  }


def test_detectron2s_anchors_go_with_its_rule_for_levels():
  theirs = panoptic_fpn.detector(models.create('panoptic_fpn', 3))
  assert theirs.level_inside
  assert not theirs.rounded_anchors
  assert (theirs.aligned, theirs.sampling) == (True, 0)
