r"""What a training step computes and exchanges, counted without running it.

  python -m segjax.tools.scaling --config.dtype=bfloat16 \
      --config=configs/deeplabv3.py:dataset=voc2012,backbone=resnet/101

prints its part of the table in launch/scaling.md, which says what follows and
where the numbers of the chips are from. The step is compiled for eight devices
that the CPU plays, with an image on each. One image of the data set is read;
--config.dataset.name=shapes --config.dataset.train_split=train does without.
"""

import collections
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
# What nobody is going to run need not be fast.
QUICKLY = {
    'xla_backend_optimization_level': 0,
    'xla_llvm_disable_expensive_passes': True,
}
SUM, SCATTER = 'all-reduce', 'reduce-scatter'
KINDS = SUM, SCATTER, 'all-gather', 'all-to-all', 'collective-permute'


@dataclasses.dataclass(frozen=True)
class Chip:
  """An accelerator, by its maker's documents; launch/scaling.md names them."""

  peak: float  # Of bfloat16, FLOP/s.
  link: float  # Bytes/s that leave what a ring joins: a chip, a host of GPUs.
  host: int  # Chips of a host.


CHIPS = {
    'v5e': Chip(peak=197e12, link=200e9, host=8),
    'v5p': Chip(peak=459e12, link=600e9, host=4),
    'H100': Chip(peak=1000e12, link=400e9, host=8),
}


@dataclasses.dataclass(frozen=True)
class Step:
  """What a step costs each device, with one image on each."""

  image: tuple[int, int]  # Height and width, with the halo of the model.
  image_bytes: int  # That a host sends to a device, label and all.
  flops: float  # A multiplication and an addition are two.
  loops: bool  # Whether there are any: their bodies are counted once.
  exchanged: dict[str, int]  # Bytes by kind of exchange, of whole arrays.
  times: int  # That devices exchange something.


def measure(config):
  """Returns the costs of the step of a config, its batch size left aside."""
  config = config.copy_and_resolve_references()
  config.batch_size = devices = parallel.count()
  config.optim.accumulate = 1
  setup = experiment.training(config)
  state = jax.eval_shape(setup.init)
  one = {
      name: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)
      for name, x in setup.batch.items()
  }
  # As for a TPU: a CPU has a way of its own with some operations.
  alone = jax.jit(setup.step).trace(state, one)
  alone = alone.lower(lowering_platforms=('tpu',))
  step = setup.layout.compile_step(setup.step, state)
  batch = setup.layout.shard_shapes(setup.batch)
  together = step.lower(state, batch).compile(QUICKLY)
  exchanged, times = exchanges(together.as_text(), devices)
  return Step(
      image=one['image'].shape[1:3],
      image_bytes=sum(x.size * x.dtype.itemsize for x in one.values()),
      flops=alone.cost_analysis()['flops'],
      loops='stablehlo.while' in alone.as_text(),
      exchanged=exchanged,
      times=times,
  )


def exchanges(program, devices):
  """Returns the bytes that devices exchange, by kind, and how many times.

  Args:
    program: a compiled one as text, that of each device.
    devices: how many there are. What is scattered over them counts as a whole.
  """
  total, times = collections.Counter(), 0
  # Where one goes on beside other work, its end has the results.
  pattern = re.compile(rf' = ([^"\n]*?) ({"|".join(KINDS)})(?:-done)?\(')
  for results, kind in pattern.findall(program):
    total[kind] += _bytes(results) * (devices if kind == SCATTER else 1)
    times += 1
  return dict(total), times


def _bytes(shapes):
  """Returns the bytes of 'f32[2,64]{1,0}', or of several in brackets."""
  total = 0
  for kind, sides in re.findall(r'([a-z]+\d*)\[([\d,]*)\]', shapes):
    bits = 8 if kind == 'pred' else int(re.search(r'\d+', kind)[0])
    total += math.prod(map(int, filter(None, sides.split(',')))) * bits // 8
  return total


def sent(exchanged):
  """Returns the bytes that leave each device of a large ring.

  Of n, each sends (n - 1)/n of an array, which is nearly all of it, and twice
  that if the sum is to be on all of them.
  """
  return sum(
      size * (2 if kind == SUM else 1) for kind, size in exchanged.items()
  )


def rows(config, step, share, per_core):
  """Returns rows of the table, {title: text}, one for each chip.

  Args:
    config: what was measured.
    step: its costs.
    share: of a chip's peak that is achieved.
    per_core: images a second that a core of a host makes ready.
  """
  system = f'{config.model_name} {config.model.get("backbone", "")}'.strip()
  table = []
  for name, chip in CHIPS.items():
    images = share * chip.peak / step.flops  # A second.
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
  _SHARE = flags.DEFINE_float('share', 0.4, 'Of the peak that is achieved.')
  _PER_CORE = flags.DEFINE_float(
      'per_core', 150.0, 'Images a second that a core of a host makes ready.'
  )
  flags.mark_flag_as_required('config')
  app.run(
      lambda _: main(_CONFIG.value, _SHARE.value, _PER_CORE.value),
      flags_parser=terminal.parse_flags,
  )
