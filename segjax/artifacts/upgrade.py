"""Upgrades configs of workdirs that earlier versions of segjax wrote."""

import re

# {system: fields that were its own and now are options of its backbone}.
_OF_BACKBONE = {
    'convcrf': ('output_stride',),
    'deeplabv2': ('output_stride',),
    'deeplabv3': ('output_stride', 'multi_grid'),
    'deeplabv3plus': ('output_stride', 'multi_grid'),
    'fcn_dilated': ('output_stride',),
    'hrnet': ('resize_twice',),
    'lraspp': ('output_stride',),
    'pspnet': ('output_stride', 'dilate_first'),
}


def upgrade(config: dict) -> dict:
  """Returns a config with the names and structure of the current version.

  Args:
    config: nested dicts, the content of a workdir's `config.json`. They are not
      changed.
  """
  for step in _STEPS:
    config = step(config)
  return config


def _new_options(config):
  """Adds options of later versions, with the values that runs had before."""
  added = {
      'loader_timeout': 600.0,
      'mesh': (-1, 1),
      'shard_state': False,
      'remat': False,
      'system_loss': {},
      'aux_loss': '',
      'precise_norms': 0,
  }
  groups = {
      'dataset': {
          'class_uniform': 0.0,
          'by_turn': False,
          'fold': '',
          'mix': (),
      },
      'optim': {'groups': {}, 'layer_decay': ''},
      'lr': {'warmup_from': 0.0},
      'predict': {'short_sides': (), 'longest': 0, 'temperature': 0.0},
  }
  added_to_groups = {
      name: options | config[name]
      for name, options in groups.items()
      if name in config
  }
  return added | config | added_to_groups


def _options_of_backbones(config):
  """Moves fields of systems into the string of their backbone.

  `backbone='resnet/50', output_stride=8` becomes
  `backbone='resnet/50(output_stride=8)'`. Fields that are empty or False had no
  effect, and are left out.
  """
  names = _OF_BACKBONE.get(config.get('model_name'), ())
  old = config.get('model', {})
  options = [f'{name}={old[name]!r}' for name in names if old.get(name)]
  model = {k: v for k, v in old.items() if k not in names}
  if options:
    model['backbone'] += f'({", ".join(options)})'
  return config | {'model': model} if model != old else config


def _crops_with_a_halo(config):
  """Renames the option `context` of crops in preprocessing to `halo`."""
  ops = {
      name: re.sub(r'(_crop\([^|]*?)\bcontext=', r'\1halo=', text)
      for name, text in config.get('preprocess', {}).items()
  }
  return config | {'preprocess': ops} if ops else config


def _multistep(config):
  """Renames the schedule `steps` to `multistep`."""
  lr = config.get('lr', {})
  schedule = re.sub(r'^\s*steps\b', 'multistep', lr.get('schedule', ''))
  return config | {'lr': lr | {'schedule': schedule}} if lr else config


def _refine(config):
  """Renames `predict.crf` to `predict.refine`, and the CRFs that it names."""
  predict = dict(config.get('predict', {}))
  if 'crf' not in predict:
    return config
  refine = predict.pop('crf')
  for before, after in (('dense', 'dense_crf'), ('convcrf', 'conv_crf')):
    refine = re.sub(rf'^\s*{before}\b', after, refine)
  return config | {'predict': predict | {'refine': refine}}


def _label_proposals(config):
  """Adds the op label_proposals, which training on proposals did implicitly."""
  train = config.get('preprocess', {}).get('train', '')
  on_proposals = config.get('task', '').startswith('proposals')
  if not on_proposals or 'label_proposals' in train:
    return config
  preprocess = config['preprocess'] | {'train': f'{train}|label_proposals'}
  return config | {'preprocess': preprocess}


def _mask_slots(config):
  """Adds fields of MaX-DeepLab and kMaX-DeepLab, as these were before."""
  name, model = config.get('model_name'), config.get('model', {})
  if name == 'max_deeplab':
    fields = {
        'memory_features': model['features'],
        'path_levels': ('c5',),
        'stacks': (0, 0),
        'blocks': 1,
    }
    return config | {'model': fields | model}
  if name == 'kmax_deeplab':
    loss = config['system_loss']
    fields = {'levels': ('c5', 'c4', 'c3', 'c2'), 'semantic_decoder': True}
    return config | {
        'model': fields | model,
        'system_loss': {'semantic_samples': loss['samples']} | loss,
    }
  return config


# Later steps expect the results of earlier ones.
_STEPS = (
    _new_options,
    _options_of_backbones,
    _crops_with_a_halo,
    _multistep,
    _refine,
    _label_proposals,
    _mask_slots,
)
