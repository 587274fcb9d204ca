import importlib
import pathlib

import numpy as np
import pytest

from configs import common
from configs import deeplabv3
from configs import mask2former
from configs import mask_rcnn
from configs import panoptic_deeplab
from configs import panoptic_fpn
from configs import pspnet
from segjax import losses

SYSTEMS = sorted(
    path.stem
    for path in pathlib.Path(common.__file__).parent.glob('*.py')
    if path.stem != 'common'
)


@pytest.mark.parametrize(
    ('arg', 'dataset', 'backbone'),
    [
        ('', 'shapes', ''),
        ('camvid', 'camvid', ''),
        ('camvid,backbone=resnet/18', 'camvid', 'resnet/18'),
        (
            'backbone=resnet/18(a=8, b=(1, 2), c=3),dataset=camvid',
            'camvid',
            'resnet/18(a=8, b=(1, 2), c=3)',
        ),
        ('camvid,backbone=vgg/16(a=8)', 'camvid', 'vgg/16(a=8)'),
    ],
)
def test_an_argument_is_split_at_commas_outside_of_parentheses(
    arg, dataset, backbone
):
  parsed = common.parse_arg(arg, dataset='shapes', backbone='', small=False)
  assert (parsed.dataset, parsed.backbone) == (dataset, backbone)


@pytest.mark.parametrize('arg', ['camvid,depth=3', 'depth=resnet/18(a=8)'])
def test_an_unknown_argument_is_refused_with_those_there_are(arg):
  with pytest.raises(ValueError, match='takes dataset, backbone .* not depth'):
    common.parse_arg(arg, dataset='shapes', backbone='')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('resnet/18', 'resnet/18(output_stride=16)'),
        ('resnet/18()', 'resnet/18(output_stride=16)'),
        ('resnet/18(output_stride=8)', 'resnet/18(output_stride=8)'),
        (
            'resnet/50(multi_grid=(1, 2, 4))',
            'resnet/50(output_stride=16, multi_grid=(1, 2, 4))',
        ),
    ],
)
def test_a_system_adds_options_that_the_string_lacks(text, expected):
  assert common.backbone(text, output_stride=16) == expected


@pytest.mark.parametrize('text', ['resnet/18(', 'resnet/18(a=1', 'vgg/16(a=)'])
def test_options_that_cannot_be_read_are_refused(text):
  with pytest.raises(ValueError, match='Cannot read the options') as error:
    common.backbone(text, output_stride=16)
  assert repr(text) in str(error.value)


def test_another_backbone_keeps_the_output_stride_of_the_system():
  def backbone(module, arg):
    return module.get_config(arg).model.backbone

  given = 'dataset=voc2012,backbone=resnet/18'
  assert backbone(deeplabv3, given) == 'resnet/18(output_stride=16)'
  assert backbone(pspnet, given) == 'resnet/18(output_stride=8)'
  written = 'backbone=resnet/18(multi_grid=(1, 2), output_stride=32)'
  assert backbone(pspnet, written) == written.removeprefix('backbone=')


@pytest.mark.parametrize('small', [True, False])
@pytest.mark.parametrize(
    ('module', 'dataset', 'task', 'made_by'),
    [
        (mask_rcnn, 'coco_instances', 'instances', 'objects'),
        (mask_rcnn, 'folder', 'instances', 'objects'),
        (panoptic_fpn, 'coco_panoptic', 'panoptic_two_stage', 'objects'),
        (panoptic_deeplab, 'coco_panoptic', 'panoptic', 'centers'),
        (panoptic_deeplab, 'folder', 'panoptic', 'centers'),
        (mask2former, 'coco_panoptic', 'panoptic', ''),
    ],
)
def test_sets_with_objects_have_recipes(module, dataset, task, made_by, small):
  more = ',task=panoptic' if module is mask2former else ''
  config = module.get_config(f'{dataset},small={small}{more}')
  assert config.dataset.name == dataset
  assert config.dataset.options.instances
  assert config.task.partition('(')[0] == task
  assert made_by in config.preprocess.train
  # Class 0 is no object to Panoptic FPN.
  first = config.dataset.options.get('stuff_first', False)
  assert first == (module is panoptic_fpn)


@pytest.mark.parametrize('system', SYSTEMS)
def test_where_a_recipe_weighs_classes_its_losses_take_weights(system):
  module = importlib.import_module(f'configs.{system}')
  for small, data_sets in ((True, common.SMALL), (False, common.DATASETS)):
    for dataset in data_sets:
      try:
        config = module.get_config(f'dataset={dataset},small={small}')
      except ValueError:  # It has no recipe for this set.
        continue
      if config.class_weights:
        for loss in filter(None, (config.loss, config.aux_loss)):
          losses.build(loss, np.ones(3))
