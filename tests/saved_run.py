"""Folders of runs as training leaves them, without the training."""

from segjax.artifacts.checkpoint import Checkpoints
from segjax.artifacts.workdir import Workdir
from segjax.data.datasets import shapes


def save(
    folder,
    config,
    variables,
    *,
    label_map=shapes.LABEL_MAP,
    channels=3,
    values=None,
    step=0,
):
  """Writes a run with one checkpoint, and returns its `Workdir`.

  Args:
    folder: of the run.
    config: of the run.
    variables: of the model, {collection: tree}.
    label_map: classes of the run.
    channels: number of channels of the images.
    values: of the images; None for a run that does not tell them.
    step: of the checkpoint.
  """
  workdir = Workdir(folder)
  workdir.make()
  workdir.claim(config)
  workdir.write_labels(label_map, channels, values)
  mutable = {name: x for name, x in variables.items() if name != 'params'}
  checkpoints = Checkpoints(workdir.checkpoints)
  checkpoints.save(step, {'params': variables['params'], 'mutable': mutable})
  checkpoints.close()
  return workdir
