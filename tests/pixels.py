"""Runs of a classifier of single pixels, which compiles in a moment."""

from flax import linen as nn
import numpy as np

from segjax import experiment
from segjax.data.datasets import shapes
from segjax.data.values import Values
from tests import saved_run
from tests import tiny

BYTES = Values(('uint8',), 1.0, 255.0)


class Net(nn.Module):
  """Logits that are linear in the channels of a pixel."""

  num_classes: int

  @nn.compact
  def __call__(self, image, *, train=False):
    del train
    logits = nn.Dense(self.num_classes, name='classifier')(image)
    return {'logits': logits, 'aux': {}}


def replace_models(patch):
  """Has all configs build a `Net`.

  Args:
    patch: a `pytest.MonkeyPatch`.
  """

  def model(config, label_map):
    return Net(experiment.task(config).channels(label_map))

  patch.setattr(experiment, 'model', model)


def random_classifier(seed, channels=3, num_classes=8):
  """Returns random weights of a `Net`: [channels, K], [K]."""
  rng = np.random.default_rng(seed)
  kernel = rng.normal(size=(channels, num_classes))
  return kernel, rng.normal(size=num_classes)


def make_run(
    folder,
    kernel,
    bias,
    *,
    label_map=shapes.LABEL_MAP,
    channels=3,
    values=BYTES,
    task='semantic',
    data_dir='',
):
  """Writes what a run of `tiny` with these weights leaves; returns its path.

  Args:
    folder: of the run.
    kernel: of the classifier, [channels, K].
    bias: [K].
    label_map: classes of the data set.
    channels: of its images.
    values: of its images.
    task: of the run.
    data_dir: of a data set in a folder; '' takes the embedded set.
  """
  config = tiny.get_config('folder' if data_dir else 'shapes')
  config.data_dir = str(data_dir)
  if not data_dir:
    config.dataset.options.length = 4
  config.task = task
  params = {'kernel': np.float32(kernel), 'bias': np.float32(bias)}
  workdir = saved_run.save(
      folder,
      config,
      {'params': {'classifier': params}},
      label_map=label_map,
      channels=channels,
      values=values,
  )
  return workdir.path
