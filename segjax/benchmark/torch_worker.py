"""The worker that runs PyTorch: `python -m segjax.benchmark.torch_worker`.

It runs in an environment of its own, see torch.txt beside it.
"""

import contextlib
import sys
import time

from segjax.benchmark import matmul
from segjax.benchmark import protocol

# Operators that torchvision looks up on import.
OPERATORS = (
    'nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
    'qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
)
# Libraries with these operators; they exist as long as the object does.
DECLARED = []


def make():
  """Imports PyTorch and returns the worker."""
  import torch

  try:
    import torchvision  # noqa: F401
  except RuntimeError:
    # The compiled operators of torchvision are for another build of PyTorch. No
    # network here calls them, but the import fails unless they are declared.
    for name in [n for n in sys.modules if n.split('.')[0] == 'torchvision']:
      del sys.modules[name]
    library = torch.library.Library('torchvision', 'DEF')
    for operator in OPERATORS:
      library.define(operator)
    DECLARED.append(library)
  import segjax.benchmark.torch_nets  # noqa: F401  Fails if a package lacks.

  return TorchWorker(torch)


class TorchWorker(protocol.Timed):
  """Worker that runs steps of PyTorch, in channels_last, eager or compiled."""

  def __init__(self, torch):
    super().__init__()
    self.torch = torch
    self.cuda = torch.cuda.is_available()
    self.device = torch.device('cuda' if self.cuda else 'cpu')
    torch.backends.cudnn.benchmark = True
    # XLA uses TF32 by default, too.
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True

  def hello(self):
    """Returns a description of the device and the versions of libraries."""
    import timm
    import torchvision

    torch = self.torch
    return {
        'platform': self.device.type,
        'device': torch.cuda.get_device_name() if self.cuda else 'cpu',
        'devices': 1,
        'threads': torch.get_num_threads(),
        'versions': {
            module.__name__: module.__version__
            for module in (torch, torchvision, timm)
        },
    }

  def build(
      self,
      name,
      *,
      net,
      classes,
      size,
      batch,
      dtype,
      what,
      compiled=False,
  ):
    """Prepares a step and stores it as a build.

    Args:
      name: name of the build.
      net: name of a function of `torch_nets`.
      classes: number of channels of the logits.
      size: [height, width] of the images.
      batch: images per step.
      dtype: 'float32', or 'bfloat16' for autocast.
      what: 'train', or 'forward', which ends with a label map at the size of
        the image.
      compiled: whether the step is compiled by torch.compile.

    Returns:
      The facts of the build: number of parameters, FLOPs of the forward pass of
      training as PyTorch counts them, and the seconds of the first step if it
      compiles.
    """
    from torch.utils.flop_counter import FlopCounterMode

    from segjax.benchmark import torch_nets

    torch = self.torch
    model = getattr(torch_nets, net)(classes).to(self.device)
    model = model.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(batch, 3, *size, generator=generator)
    image = image.to(self.device, memory_format=torch.channels_last)
    label = torch.randint(classes, (batch, *size), generator=generator)
    label = label.to(self.device)
    parameters = sum(p.numel() for p in model.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
      # Batch norms of pooled features need at least two images.
      model.train()(torch.cat([image, image]))
    make = {'train': self._train, 'forward': self._forward}[what]
    step = make(
        model, image, label, dtype, torch.compile if compiled else _same
    )
    self._wait()
    start = time.perf_counter()
    step()
    self._wait()
    first = time.perf_counter() - start
    if self.cuda:
      torch.cuda.reset_peak_memory_stats()

    def run(steps):
      for _ in range(steps):
        step()
      self._wait()

    self.builds[name] = run
    return {
        'parameters': parameters,
        'products': counter.get_total_flops() / 2,
        'compile_seconds': first if compiled else None,
    }

  def run(self, name, steps):
    """Runs steps of a build and returns their total seconds."""
    # `after` has freed the cached memory; a first step allocates it again.
    if self.cuda:
      self.builds[name](1)
    return super().run(name, steps)

  def after(self, name):
    """Returns the peak memory, and frees cached memory for other workers."""
    if not self.cuda:
      return {}
    peak = self.torch.cuda.max_memory_allocated()
    self.torch.cuda.empty_cache()
    return {'peak_bytes': peak}

  def drop(self, name):
    """Removes a build and its compiled code."""
    super().drop(name)
    self.torch._dynamo.reset()
    return self.after(name)

  def peak(self, dtype):
    """Returns the highest rate of a large matrix product."""
    torch = self.torch

    def product(side):
      a = torch.randn(
          side, side, dtype=getattr(torch, dtype), device=self.device
      )

      def multiply():
        torch.mm(a, a)
        self._wait()

      return multiply

    with torch.inference_mode():
      return {'flops_per_second': matmul.fastest(product)}

  def _train(self, model, image, label, dtype, compile):
    """Returns a training step: cross entropy, SGD with momentum."""
    torch = self.torch
    cross_entropy = torch.nn.functional.cross_entropy
    model.train()
    sgd = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4
    )

    def objective(image, label):
      with self._precision(dtype):
        out = model(image)
      loss = cross_entropy(out['out'].float(), label)
      if 'aux' in out:
        loss = loss + 0.4 * cross_entropy(out['aux'].float(), label)
      return loss

    objective = compile(objective)

    def step():
      sgd.zero_grad(set_to_none=True)
      objective(image, label).backward()
      sgd.step()

    return step

  def _forward(self, model, image, label, dtype, compile):
    """Returns a step from images to label maps."""
    del label
    torch = self.torch
    model.eval()

    def predict(image):
      with self._precision(dtype):
        return model(image)['out'].argmax(1)

    predict = compile(predict)

    def step():
      with torch.inference_mode():
        predict(image)

    return step

  def _precision(self, dtype):
    if dtype == 'float32':
      return contextlib.nullcontext()
    return self.torch.autocast(self.device.type, self.torch.bfloat16)

  def _wait(self):
    if self.cuda:
      self.torch.cuda.synchronize()


def _same(function):
  return function


if __name__ == '__main__':
  protocol.serve(make)
