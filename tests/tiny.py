"""A config for tests: a run of seconds on thumbnails of the embedded set.

python -m segjax.main --config=tests/tiny.py --workdir=/tmp/tiny
"""

import json

from configs import deeplabv3


def get_config(dataset='shapes'):
  """Returns the config; a batch splits over the devices of conftest.py."""
  config = deeplabv3.get_config(f'dataset={dataset},small=True')
  if dataset == 'shapes':
    config.dataset.options = dict(size=(32, 48), length=16, difficulty=0.0)
  config.preprocess.train = 'flip|random_crop(32, 48)|normalize'
  config.model.update(
      backbone='resnet/tiny(output_stride=16)', features=8, rates=(1, 2)
  )
  config.predict.batch_size = 1
  config.batch_size = 8
  config.total_steps = 12
  config.lr.update(base=0.02, warmup_steps=2)
  config.optim.ema = 0.9
  config.log_every = 2
  config.eval_every = 6
  config.checkpoint_every = 3
  config.num_pictures = 1
  return config


def read_metrics(workdir):
  """Returns {step: {name: value}}; what was written last counts."""
  metrics = {}
  for line in workdir.metrics.read_text().splitlines():
    values = json.loads(line)
    metrics.setdefault(values.pop('step'), {}).update(values)
  return metrics
