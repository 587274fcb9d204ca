"""`python -m tests.small_run FLAGS` is segjax.main where nothing takes long.

The model has two layers, which compile in a moment, and there is no TensorFlow
to import: summaries are JSON lines alone. STEP_SECONDS lets steps take longer.
"""

import os
import sys
import time
from unittest import mock

from absl import app
from flax import linen as nn
import jax

sys.modules['clu.metric_writers'] = mock.MagicMock(MetricWriter=object)
sys.modules['clu.periodic_actions'] = mock.MagicMock()

from segjax import experiment  # noqa: E402
from segjax import main  # noqa: E402
from segjax.artifacts import summaries  # noqa: E402
from segjax.data import pipeline  # noqa: E402
from segjax.layers.conv import ConvNormAct  # noqa: E402
from segjax.runtime import terminal  # noqa: E402


class Net(nn.Module):
  """A convolution, batch norm over all devices, and a classifier."""

  num_classes: int

  @nn.compact
  def __call__(self, image, *, train=False):
    x = ConvNormAct(8, name='conv')(image, train)
    return {
        'logits': nn.Dense(self.num_classes, name='classifier')(x),
        'aux': {},
    }


class Batches(pipeline.Batches):
  """Batches that let one wait."""

  def __next__(self):
    time.sleep(float(os.environ.get('STEP_SECONDS', 0)))
    return super().__next__()


if __name__ == '__main__':
  # Several steps in flight on as many devices dead-lock where cores are few.
  jax.config.update('jax_cpu_enable_async_dispatch', False)
  experiment.model = lambda config, label_map: Net(label_map.num_classes)
  summaries.Writer = lambda workdir: summaries.JsonLinesWriter(workdir.metrics)
  pipeline.Batches = Batches
  app.run(main.main, flags_parser=terminal.parse_flags)
