"""Checks the machine that a config is trained on."""

import collections
import shutil

import jax

from segjax.artifacts import workdir
from segjax.doctor.problems import Problems
from segjax.doctor.tables import share


def check(config) -> tuple[str, Problems]:
  """Returns (report, problems) of packages, devices and memory."""
  problems = Problems()
  devices = collections.Counter(d.device_kind for d in jax.devices())
  if jax.default_backend() == 'cpu' and shutil.which('nvidia-smi'):
    problems.warnings.append(
        'There is an NVIDIA GPU, but JAX sees only the CPU: install'
        f' jax[cuda13]=={jax.__version__}'
    )
  versions = (f'{name} {v}' for name, v in workdir.versions().items())
  lines = [
      f'Versions  {", ".join(versions)}',
      f'Devices   {share(devices)}',
  ]
  try:
    lines.append(f'Memory    {_memory(config)}')
  except ValueError as error:
    problems.errors.append(str(error))
  return '\n'.join(lines), problems


def _memory(config):
  """Describes the memory of a training step.

  Raises:
    ValueError: a device has less memory.
  """
  from segjax import train  # Slow: it imports TensorFlow.

  parts = train.memory(config)
  listed = ', '.join(f'{name} {_bytes(n)}' for name, n in parts.items())
  needed = f'{_bytes(sum(parts.values()))} a device ({listed})'
  limit = _device_memory()
  if limit and sum(parts.values()) > limit:
    raise ValueError(
        f'config.batch_size={config.batch_size} needs {needed}, more than the'
        f' {_bytes(limit)} there are: lower it, raise config.optim.accumulate,'
        ' crop smaller, or split images by rows with config.mesh'
    )
  return f'{needed}, for config.batch_size={config.batch_size}'


def _device_memory():
  """Returns the memory of a device in bytes, or 0 if JAX does not know it."""
  return (jax.local_devices()[0].memory_stats() or {}).get('bytes_limit', 0)


def _bytes(number):
  """Formats a number of bytes with a unit."""
  for unit in ('B', 'KiB', 'MiB'):
    if number < 1024:
      return f'{number:.4g} {unit}'
    number /= 1024
  return f'{number:.4g} GiB'
