"""Where the time of a step goes, from a trace of `jax.profiler`."""

import collections
import gzip
import json
import pathlib
import re

OTHER = 'elementwise and the rest'
# Kinds of kernels by their names; the first that is found counts.
KINDS = (
    ('collectives', r'nccl|all-?(reduce|gather)|reduce-?scatter'),
    ('copies', r'copy|transpose|memcpy|memset|nchwToNhwc|nhwcToNchw'),
    ('pooling', r'reduce[-_]window|select[-_]and[-_]scatter'),
    (
        'convolutions and products',
        r'conv(?!ert)|xmma|cutlass|gemm|nvjet|matmul|fprop|dgrad|wgrad|dot',
    ),
    ('reductions', r'reduce'),
)
AROUND = r'(while|call|conditional)([._]\d+)?'  # These hold others.


def read(folder):
  """Returns {kernel: seconds} of the newest trace in a folder.

  Copies of a kernel, as in 'fusion.3', count together.

  Raises:
    FileNotFoundError: there is no trace.
    ValueError: it has nothing of a device.
  """
  files = pathlib.Path(folder).glob('plugins/profile/*/*.trace.json.gz')
  newest = max(files, default=None)
  if newest is None:
    raise FileNotFoundError(f'There is no trace in {folder}.')
  with gzip.open(newest) as file:
    events = json.load(file)['traceEvents']
  seconds = collections.Counter()
  for event in _kernels(events):
    name = event['name']
    operation = event.get('args', {}).get('hlo_op', name)
    if not re.fullmatch(AROUND, operation):
      seconds[re.sub(r'([._]\d+)+$', '', name)] += event['dur'] / 1e6
  if not seconds:
    raise ValueError(f'{newest} has nothing that ran on a device.')
  return dict(seconds.most_common())


def _kernels(events):
  """Returns what ran on devices: of GPUs by stream, of a CPU by operation."""
  names = {  # Of processes, and of their threads.
      (event['pid'], event.get('tid')): event['args']['name']
      for event in events
      if event.get('name') in ('process_name', 'thread_name')
  }
  timed = [event for event in events if event.get('ph') == 'X']

  def on_device(event):
    process = names.get((event['pid'], None), '')
    thread = names.get((event['pid'], event['tid']), '')
    # Other threads of a device repeat what these two have.
    lines = thread.startswith('Stream') or thread == 'XLA Ops'
    return process.startswith('/device:') and lines

  if any(map(on_device, timed)):
    return filter(on_device, timed)
  return (event for event in timed if 'hlo_op' in event.get('args', {}))


def kind(kernel):
  """Returns the kind of a kernel, by its name."""
  for name, pattern in KINDS:
    if re.search(pattern, kernel, re.IGNORECASE):
      return name
  return OTHER


def kinds(kernels):
  """Returns {kind: seconds} of {kernel: seconds}, the longest first."""
  seconds = collections.Counter()
  for kernel, spent in kernels.items():
    seconds[kind(kernel)] += spent
  return dict(seconds.most_common())
