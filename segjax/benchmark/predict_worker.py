"""The worker that predicts: `python -m segjax.benchmark.predict_worker`.

A prediction goes from an array on the host to a label map on the host, by
`segjax.predict.load(...)(image)`.
"""

import numpy as np

from segjax import predict
from segjax.benchmark import protocol
from segjax.runtime import gc_tuning
from segjax.runtime import malloc


class PredictWorker(protocol.Timed):
  """Worker that runs predictions of a trained run, one image at a time."""

  def build(self, name, *, workdir, size):
    """Loads a run and compiles its forward pass.

    Args:
      name: name of the build.
      workdir: folder of the run.
      size: [height, width] of the image, which is noise.
    """
    predictor = predict.load(workdir)
    noise = np.random.default_rng(0)
    image = noise.integers(0, 256, (*size, 3), np.uint8)

    def run(steps):
      for _ in range(steps):
        predictor(image)

    run(1)
    self.builds[name] = run
    return {'step': predictor.step}


if __name__ == '__main__':
  malloc.tune()
  gc_tuning.relax()
  protocol.serve(PredictWorker)
