import copy
import json

import pytest

from configs import deeplabv3
from configs import kmax_deeplab
from configs import max_deeplab
from configs import pspnet
from segjax.artifacts.upgrade import upgrade
from segjax.artifacts.workdir import Workdir


def old(module, arg, **model):
  """A config as it was when options of the backbone were the system's."""
  config = module.get_config(arg).to_dict()
  config['model']['backbone'], _, _ = config['model']['backbone'].partition('(')
  config['model'] |= model
  for name in ('loader_timeout', 'mesh', 'shard_state', 'remat', 'aux_loss'):
    del config[name]
  return config


@pytest.mark.parametrize(
    ('module', 'arg', 'model'),
    [
        (deeplabv3, 'voc2012', dict(output_stride=16, multi_grid=())),
        (deeplabv3, '', dict(output_stride=8, multi_grid=())),
        (
            deeplabv3,
            'dataset=voc2012,backbone=resnet/101(output_stride=8,'
            ' multi_grid=(1, 2, 4))',
            dict(output_stride=8, multi_grid=(1, 2, 4)),
        ),
        (pspnet, 'ade20k', dict(output_stride=8, dilate_first=False)),
        (
            pspnet,
            'backbone=resnet/50_v1s(output_stride=8, dilate_first=True)',
            dict(output_stride=8, dilate_first=True),
        ),
    ],
)
def test_a_config_of_old_becomes_that_of_today(module, arg, model):
  config = old(module, arg, **model)
  before = copy.deepcopy(config)
  assert upgrade(config) == module.get_config(arg).to_dict()
  assert config == before


def test_a_field_that_had_no_effect_is_left_out():
  model = dict(backbone='hrnet/w48', resize_twice=False, fuse_bias=True)
  upgraded = upgrade({'model_name': 'hrnet', 'model': model})
  assert upgraded['model'] == dict(backbone='hrnet/w48', fuse_bias=True)


def test_a_field_of_that_name_of_another_system_stays():
  config = upgrade({'model_name': 'mine', 'model': {'output_stride': 8}})
  assert config['model'] == {'output_stride': 8}


def test_crops_have_a_halo():
  train = 'elastic(1.0)|random_crop((28, 36), context=92)|flip|normalize'
  config = upgrade({'preprocess': {'train': train, 'eval': 'normalize'}})
  assert config['preprocess'] == {
      'train': 'elastic(1.0)|random_crop((28, 36), halo=92)|flip|normalize',
      'eval': 'normalize',
  }


def test_a_context_module_keeps_its_name():
  model = dict(backbone='vgg/16', context='large')
  config = upgrade({'model_name': 'dilatednet', 'model': model})
  assert config['model'] == model


@pytest.mark.parametrize(
    ('before', 'after'),
    [
        ('steps(at=(0.2, 0.4))', 'multistep(at=(0.2, 0.4))'),
        ('steps', 'multistep'),
        ('poly(power=0.9)', 'poly(power=0.9)'),
        ('multistep(at=(0.2, 0.4))', 'multistep(at=(0.2, 0.4))'),
    ],
)
def test_the_schedule_of_steps_has_its_new_name(before, after):
  config = {'lr': {'base': 0.01, 'schedule': before}}
  assert upgrade(config)['lr']['schedule'] == after


@pytest.mark.parametrize(
    ('before', 'after'),
    [
        ('dense(iterations=10)', 'dense_crf(iterations=10)'),
        ('convcrf(window=7)', 'conv_crf(window=7)'),
        ('', ''),
    ],
)
def test_a_crf_after_prediction_is_a_refinement(before, after):
  config = upgrade({'predict': {'flip': True, 'crf': before}})
  assert config == upgrade({'predict': {'flip': True, 'refine': after}})
  assert config['predict'].items() >= {'flip': True, 'refine': after}.items()
  assert 'crf' not in config['predict']


def test_mask_slots_have_the_fields_that_were_fixed():
  for module, model, losses in (
      (max_deeplab, ('memory_features', 'path_levels', 'stacks', 'blocks'), ()),
      (kmax_deeplab, ('levels', 'semantic_decoder'), ('semantic_samples',)),
  ):
    today = module.get_config().to_dict()
    before = {
        **today,
        'model': {k: v for k, v in today['model'].items() if k not in model},
        'system_loss': {
            k: v for k, v in today['system_loss'].items() if k not in losses
        },
    }
    assert before != today
    assert upgrade(before) == today


@pytest.mark.parametrize('module', [deeplabv3, pspnet])
def test_a_config_of_today_stays(module):
  config = module.get_config().to_dict()
  assert upgrade(config) == config


def test_a_workdir_of_old_goes_on(tmp_path):
  workdir = Workdir(tmp_path)
  config = old(deeplabv3, 'dataset=camvid,backbone=resnet/18', output_stride=16)
  workdir.config.write_text(json.dumps(config))
  today = deeplabv3.get_config('dataset=camvid,backbone=resnet/18')
  assert workdir.read_config() == today
  workdir.check(today)
