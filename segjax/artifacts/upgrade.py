"""Configs of workdirs that an earlier version of segjax wrote."""

import re

# Fields that were of a system and are options of its backbone now.
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


def upgrade(config):
  """Returns a config as today's code would have written it.

  Args:
    config: nested dicts, such as `config.json` of a workdir holds. They are
      not changed.
  """
  for step in _STEPS:
    config = step(config)
  return config


def _new_options(config):
  """Adds options that came later, with the values that runs had till then."""
  came = {
      'loader_timeout': 600.0,
      'mesh': (-1, 1),
      'shard_state': False,
      'remat': False,
      'system_loss': {},
  }
  groups = {'optim': {'groups': {}}, 'lr': {'warmup_from': 0.0}}
  later = {
      name: options | config[name]
      for name, options in groups.items()
      if name in config
  }
  return came | config | later


def _options_of_backbones(config):
  """Puts fields of systems into the string of their backbone.

  `output_stride=8` beside `backbone='resnet/50'` became
  `backbone='resnet/50(output_stride=8)'`. A field that was empty or False had
  no effect, and is left out.
  """
  names = _OF_BACKBONE.get(config.get('model_name'), ())
  old = config.get('model', {})
  options = [f'{name}={old[name]!r}' for name in names if old.get(name)]
  model = {k: v for k, v in old.items() if k not in names}
  if options:
    model['backbone'] += f'({", ".join(options)})'
  return config | {'model': model} if model != old else config


def _crops_with_a_halo(config):
  """Renames `context`, of the crops of preprocessing, to `halo`."""
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
  """Adds the op that says what proposals show, which was not named before."""
  train = config.get('preprocess', {}).get('train', '')
  wants = config.get('task', '').startswith('proposals')
  if not wants or 'label_proposals' in train:
    return config
  preprocess = config['preprocess'] | {'train': f'{train}|label_proposals'}
  return config | {'preprocess': preprocess}


# In the order of the changes.
_STEPS = (
    _new_options,
    _options_of_backbones,
    _crops_with_a_halo,
    _multistep,
    _refine,
    _label_proposals,
)
