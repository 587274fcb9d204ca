"""Writes the files beside it, with PyTorch 2.13.0: python write.py."""

import argparse
import collections
import pathlib
import sys
import types

import numpy as np
import torch

FOLDER = pathlib.Path(__file__).parent


def numbers(*shape):
  """Returns 0, 1/8, ...; any floating type holds them exactly."""
  return (torch.arange(np.prod(shape)) / 8).reshape(shape)


def noted(tensor):
  """Returns a tensor with an attribute of its own, which is written too."""
  tensor.note = 'mine'
  return tensor


class HistoryBuffer:
  """Stands for that of mmengine, which its checkpoints hold."""

  __module__ = 'mmengine.logging.history_buffer'

  def __init__(self):
    self.max_length, self._log_history = 10, np.arange(3.0)


def tensors():
  """Returns a tensor of every kind that is read."""
  table = numbers(6, 8)
  return collections.OrderedDict(
      {
          'float': numbers(2, 3, 4),
          'half': numbers(5).half(),
          'bfloat16': numbers(5).bfloat16(),
          'double': numbers(5).double(),
          'count': torch.tensor(7),
          'bytes': torch.arange(3, dtype=torch.uint8),
          'flags': torch.tensor([True, False]),
          'empty': torch.zeros(0, 3),
          'parameter': torch.nn.Parameter(numbers(3)),
          'table': table,
          'column': table[:, 2],
          'transposed': table.T[1::2],
          'expanded': numbers(2)[1].expand(3, 2),
          'noted': noted(numbers(2)),
      }
  )


def checkpoint():
  """Returns what training tools write: weights, and more beside them."""
  model = torch.nn.Linear(3, 2)
  optimizer = torch.optim.Adam(model.parameters())
  model(torch.ones(1, 3)).sum().backward()
  optimizer.step()
  return {
      'state_dict': {f'module.{k}': v for k, v in tensors().items()},
      'optimizer': optimizer.state_dict(),
      'milestones': collections.Counter([3, 4]),
      'epoch': 3,
      'args': argparse.Namespace(lr=0.1, output=pathlib.Path('runs')),
      'best': np.float64(0.5),
      'message_hub': {'log_scalars': {'train/loss': HistoryBuffer()}},
  }


def save(name, content, **options):
  torch.save(content, FOLDER / f'{name}.pth', **options)


for name in ('mmengine', 'mmengine.logging', HistoryBuffer.__module__):
  sys.modules[name] = types.ModuleType(name)
sys.modules[HistoryBuffer.__module__].HistoryBuffer = HistoryBuffer

legacy = {'_use_new_zipfile_serialization': False}
save('zip', tensors())
save('legacy', tensors(), **legacy)
save('checkpoint', checkpoint())
save('checkpoint_legacy', checkpoint(), **legacy)
save('module', torch.nn.Linear(3, 2))
save(
    'unsupported',
    {
        'good': numbers(3),
        'sparse': numbers(3).to_sparse(),
        'quantised': torch.quantize_per_tensor(numbers(3), 0.1, 0, torch.qint8),
        'meta': torch.zeros(3, device='meta'),
        'float8': numbers(3).to(torch.float8_e4m3fn),
        'negated': torch._neg_view(numbers(3)),
        'nothing': None,
    },
)
script = torch.jit.script(torch.nn.Linear(3, 2))
script.save(FOLDER / 'script.pth')
