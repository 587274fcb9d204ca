r"""Counts the FLOPs and the exchanged bytes of a training step.

  python -m segjax.tools.scaling --config.dtype=bfloat16 \
      --config=configs/deeplabv3.py:dataset=voc2012,backbone=resnet/101

prints rows of the table in launch/scaling.md, which explains the columns and
gives the sources of the numbers of the chips. The step is compiled for eight
devices, simulated on the CPU, with one image on each; it is not run. One image
of the data set is read; --config.dataset.name=shapes
--config.dataset.train_split=train needs no files.
"""

import collections
from collections.abc import Mapping
import dataclasses
import math
import re

from absl import app
from absl import flags
import jax
from ml_collections import config_flags

from segjax import experiment
from segjax import parallel
from segjax.runtime import terminal

DEVICES = 8
# XLA options that compile faster; the program is not run.
FAST_COMPILATION = {
    'xla_backend_optimization_level': 0,
    'xla_llvm_disable_expensive_passes': True,
}
SUM, SCATTER = 'all-reduce', 'reduce-scatter'
KINDS = SUM, SCATTER, 'all-gather', 'all-to-all', 'collective-permute'


@dataclasses.dataclass(frozen=True)
class Chip:
  """Numbers of an accelerator; launch/scaling.md gives their sources."""

  peak: float  # FLOP/s in bfloat16.
  # Bytes/s that a member of the all-reduce ring can send. A member is a TPU
  # chip or a host of GPUs.
  link: float
  host: int  # Number of chips of a host.


CHIPS = {
    'v5e': Chip(peak=197e12, link=200e9, host=8),
    'v5p': Chip(peak=459e12, link=600e9, host=4),
    'H100': Chip(peak=1000e12, link=400e9, host=8),
}


@dataclasses.dataclass(frozen=True)
class Step:
  """Costs of a training step for each device, with one image on each."""

  image: tuple[int, int]  # Height and width, with the halo of the model.
  image_bytes: int  # Bytes of an example, all its fields together.
  flops: float  # A multiplication and an addition count as two.
  loops: bool  # Whether the step has loops, whose bodies are counted once.
  exchanged: dict[str, int]  # Bytes of whole arrays, by collective operation.
  times: int  # Number of collective operations.


def measure(config) -> Step:
  """Returns the costs of a config's step, with one image on each device."""
  config = config.copy_and_resolve_references()
  config.batch_size = devices = parallel.count()
  config.optim.accumulate = 1
  setup = experiment.training(config)
  state = jax.eval_shape(setup.init)
  example = {
      name: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)
      for name, x in setup.batch.items()
  }
  # FLOPs are those of the program for a TPU: some operations have another
  # implementation on CPUs.
  on_one_device = jax.jit(setup.step).trace(state, example)
  on_one_device = on_one_device.lower(lowering_platforms=('tpu',))
  step = setup.layout.compile_step(setup.step, state)
  batch = setup.layout.shard_shapes(setup.batch)
  on_all_devices = step.lower(state, batch).compile(FAST_COMPILATION)
  exchanged, times = exchanges(on_all_devices.as_text(), devices)
  return Step(
      image=example['image'].shape[1:3],
      image_bytes=sum(x.size * x.dtype.itemsize for x in example.values()),
      flops=on_one_device.cost_analysis()['flops'],
      loops='stablehlo.while' in on_one_device.as_text(),
      exchanged=exchanged,
      times=times,
  )


def exchanges(program: str, devices: int) -> tuple[dict[str, int], int]:
  """Counts the bytes of collective operations in a compiled program.

  Args:
    program: text of the compiled program of each device.
    devices: number of devices. Arrays that are scattered count as a whole.

  Returns:
    {operation: bytes}, and the number of operations.
  """
  total, times = collections.Counter(), 0
  # An asynchronous operation has a start and a -done, which has the results.
  pattern = re.compile(rf' = ([^"\n]*?) ({"|".join(KINDS)})(?:-done)?\(')
  for results, kind in pattern.findall(program):
    total[kind] += _bytes(results) * (devices if kind == SCATTER else 1)
    times += 1
  return dict(total), times


def _bytes(shapes):
  """Returns the bytes of shapes in HLO text, such as 'f32[2,64]{1,0}'."""
  total = 0
  for kind, sides in re.findall(r'([a-z]+\d*)\[([\d,]*)\]', shapes):
    bits = 8 if kind == 'pred' else int(re.search(r'\d+', kind)[0])
    total += math.prod(map(int, filter(None, sides.split(',')))) * bits // 8
  return total


def sent(exchanged: Mapping[str, int]) -> int:
  """Returns the bytes that each device of a large ring sends.

  In a ring of n devices each sends (n - 1) / n of an array, which is nearly all
  of it, and twice as much for an all-reduce.
  """
  return sum(
      size * (2 if kind == SUM else 1) for kind, size in exchanged.items()
  )


def rows(
    config, step: Step, share: float, per_core: float
) -> list[dict[str, str]]:
  """Returns rows of the table, {title: text}, one for each chip.

  Args:
    config: the config of the step.
    step: costs of the step.
    share: assumed share of a chip's peak that is achieved.
    per_core: images per second that the input pipeline prepares on a core.
  """
  system = f'{config.model_name} {config.model.get("backbone", "")}'.strip()
  table = []
  for name, chip in CHIPS.items():
    images = share * chip.peak / step.flops  # Images per second.
    hiding = sent(step.exchanged) / chip.link * images
    host = chip.host * images
    table.append(
        {
            'system': system,
            'image': ' x '.join(map(str, step.image)),
            'GFLOP an image': f'{"> " * step.loops}{step.flops / 1e9:.0f}',
            'MB exchanged': f'{sum(step.exchanged.values()) / 1e6:.0f}',
            'times': str(step.times),
            'chip': name,
            'images/s a chip': f'{images:.0f}',
            'batch a chip': f'{hiding:.2f}',
            'images/s a host': f'{host:.0f}',
            'GB/s a host': f'{host * step.image_bytes / 1e9:.1f}',
            'cores a host': f'{host / per_core:.0f}',
        }
    )
  return table


def main(config, share, per_core):
  """Prints the table of a config."""
  jax.config.update('jax_platforms', 'cpu')
  jax.config.update('jax_num_cpu_devices', DEVICES)
  with terminal.errors_in_words():
    if not 0 < share <= 1:
      raise ValueError(f'--share={share} must be above 0, and 1 at most.')
    if per_core <= 0:
      raise ValueError(f'--per_core={per_core} must be above 0.')
    table = rows(config, measure(config), share, per_core)
  for cells in (table[0], ['---'] * len(table[0]), *map(dict.values, table)):
    print(f'| {" | ".join(cells)} |')


if __name__ == '__main__':
  _CONFIG = config_flags.DEFINE_config_file('config')
  _SHARE = flags.DEFINE_float(
      'share', 0.4, 'Share of the peak that is achieved.'
  )
  _PER_CORE = flags.DEFINE_float(
      'per_core',
      150.0,
      'Images per second that the input pipeline prepares on a core.',
  )
  flags.mark_flag_as_required('config')
  app.run(
      lambda _: main(_CONFIG.value, _SHARE.value, _PER_CORE.value),
      flags_parser=terminal.parse_flags,
  )
