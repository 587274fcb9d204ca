"""Reader of `jax.profiler` traces: the time of a step by kernel."""

import collections
import gzip
import json
import pathlib
import re

OTHER = 'elementwise and the rest'
# Kinds of kernels, and patterns of their names; the first that matches counts.
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
# Operations whose time is that of the operations inside them.
AROUND = r'(while|call|conditional)([._]\d+)?'


def read(folder):
  """Returns {kernel: seconds} of the newest trace in a folder.

  Kernels whose names differ in a number alone, such as 'fusion.3', are added.

  Raises:
    FileNotFoundError: there is no trace.
    ValueError: the trace has no kernels of a device.
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
  """Returns the events of devices: streams of a GPU, operations of a CPU."""
  # Names by process and thread; those of processes have no thread.
  names = {
      (event['pid'], event.get('tid')): event['args']['name']
      for event in events
      if event.get('name') in ('process_name', 'thread_name')
  }
  timed = [event for event in events if event.get('ph') == 'X']

  def on_device(event):
    process = names.get((event['pid'], None), '')
    thread = names.get((event['pid'], event['tid']), '')
    # Other threads of a device repeat the events of these.
    is_original = thread.startswith('Stream') or thread == 'XLA Ops'
    return process.startswith('/device:') and is_original

  if any(map(on_device, timed)):
    return filter(on_device, timed)
  return (event for event in timed if 'hlo_op' in event.get('args', {}))


def kind(kernel):
  """Returns the kind of a kernel, such as 'copies', by its name."""
  for name, pattern in KINDS:
    if re.search(pattern, kernel, re.IGNORECASE):
      return name
  return OTHER


def kinds(kernels):
  """Sums {kernel: seconds} to {kind: seconds}, the longest first."""
  seconds = collections.Counter()
  for kernel, spent in kernels.items():
    seconds[kind(kernel)] += spent
  return dict(seconds.most_common())
