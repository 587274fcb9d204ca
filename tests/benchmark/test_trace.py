import gzip
import json

import pytest

from segjax.benchmark import trace


def write(folder, events):
  path = folder / 'plugins' / 'profile' / 'now' / 'host.trace.json.gz'
  path.parent.mkdir(parents=True)
  with gzip.open(path, 'wt') as file:
    json.dump({'traceEvents': events}, file)


def named(pid, name, tid=None):
  kind = 'process_name' if tid is None else 'thread_name'
  place = {'pid': pid} | ({} if tid is None else {'tid': tid})
  return {'ph': 'M', 'name': kind, **place, 'args': {'name': name}}


def timed(pid, tid, name, microseconds, **args):
  place = {'pid': pid, 'tid': tid, 'dur': microseconds, 'ts': 0}
  return {'ph': 'X', 'name': name, **place, 'args': args}


def test_of_a_gpu_streams_count_and_nothing_else(tmp_path):
  events = [
      named(1, '/device:GPU:0'),
      named(1, 'Stream #13(compute)', 5),
      named(1, 'XLA Modules', 6),
      named(2, '/host:CPU'),
      named(2, 'python', 7),
      timed(1, 5, 'loop_add_fusion_3', 20),
      timed(1, 5, 'loop_add_fusion', 10, hlo_op='loop_add_fusion'),
      timed(1, 5, 'sm90_xmma_fprop', 70),
      timed(1, 6, 'jit_step', 100),
      timed(2, 7, 'PjitFunction', 500, hlo_op='fusion'),
  ]
  write(tmp_path, events)
  kernels = trace.read(tmp_path)
  assert kernels == pytest.approx(
      {'sm90_xmma_fprop': 70e-6, 'loop_add_fusion': 30e-6}
  )


def test_of_a_cpu_operations_count_once(tmp_path):
  events = [
      named(2, '/host:CPU'),
      timed(2, 7, 'convolution.4', 50, hlo_op='convolution.4'),
      timed(2, 7, 'convolution.12', 30, hlo_op='convolution.12'),
      timed(2, 7, 'while.1', 500, hlo_op='while.1'),
      timed(2, 7, 'ParseArguments', 500),
  ]
  write(tmp_path, events)
  assert trace.read(tmp_path) == pytest.approx({'convolution': 80e-6})


def test_a_trace_without_a_device_is_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match='no trace'):
    trace.read(tmp_path)
  write(tmp_path, [named(2, '/host:CPU'), timed(2, 7, 'main', 5)])
  with pytest.raises(ValueError, match='nothing that ran on a device'):
    trace.read(tmp_path)


@pytest.mark.parametrize(
    ('kernel', 'kind'),
    [
        ('sm90_xmma_wgrad_implicit_gemm', 'convolutions and products'),
        ('conv_general_dilated', 'convolutions and products'),
        ('loop_convert_fusion', trace.OTHER),
        ('void nchwToNhwcKernel<float>', 'copies'),
        ('input_reduce_fusion', 'reductions'),
        ('reduce-window', 'pooling'),
        ('ncclDevKernel_AllReduce_Sum', 'collectives'),
    ],
)
def test_kernels_have_a_kind(kernel, kind):
  assert trace.kind(kernel) == kind
  assert trace.kinds({kernel: 2.0, f'{kernel} ': 1.0}) == {kind: 3.0}
