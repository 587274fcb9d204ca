"""Reads files of weights, without PyTorch and without running what they say.

A `.pth` file is a pickle, and a pickle may call whatever it names. This reader
imports nothing that a file names: tensors, and the plain data that training
tools put beside them, have stand-ins here; any other name is refused.
"""

import collections
import dataclasses
import functools
import io
import pickle
import re
import shutil
import tempfile
import zipfile

from absl import logging
from etils import epath
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from segjax.runtime import atomic

# Entries of a checkpoint that may hold its weights.
WRAPPERS = (
    *('state_dict', 'model_state_dict', 'model_state', 'model', 'module'),
    *('net', 'params'),
)
# Prefixes that wrappers of modules put in front of every name.
PREFIXES = ('module.', '_orig_mod.')

# Parts of names that moving averages of weights have.
AVERAGES = {'ema', 'averaged', 'average', 'swa'}
# Numbers beside averages, by torch.optim.swa_utils and by MMEngine.
COUNTERS = ('n_averaged', 'steps', 'num_updates', 'decay')

STORAGES = {
    'torch.DoubleStorage': np.float64,
    'torch.FloatStorage': np.float32,
    'torch.HalfStorage': np.float16,
    'torch.BFloat16Storage': np.dtype(jnp.bfloat16),
    'torch.LongStorage': np.int64,
    'torch.IntStorage': np.int32,
    'torch.ShortStorage': np.int16,
    'torch.CharStorage': np.int8,
    'torch.ByteStorage': np.uint8,
    'torch.BoolStorage': np.bool_,
    'torch.ComplexFloatStorage': np.complex64,
    'torch.ComplexDoubleStorage': np.complex128,
    # Storages of tensors that are not read.
    'torch.storage.UntypedStorage': np.uint8,
    'torch.QInt8Storage': np.int8,
    'torch.QUInt8Storage': np.uint8,
    'torch.QInt32Storage': np.int32,
}
# Objects that training tools put beside the weights; they are dropped.
BESIDE = (
    *('argparse.Namespace', 'pathlib.PosixPath', 'torch.device'),
    *('torch.float32', 'torch.float16', 'torch.bfloat16', 'torch.float64'),
    *('torch.uint16', 'torch.uint32', 'torch.uint64'),
    *('torch.float8_e4m3fn', 'torch.float8_e5m2'),
    *('torch.per_tensor_affine', 'torch.per_channel_affine'),
    *('torch.serialization._get_layout', 'torch.Tensor'),
    'torch.nn.parameter.Parameter',
    *('numpy.dtype', 'numpy.ndarray', '_codecs.encode'),
    *('numpy.core.multiarray.scalar', 'numpy._core.multiarray.scalar'),
    'numpy.core.multiarray._reconstruct',
    'numpy._core.multiarray._reconstruct',
    'mmengine.logging.history_buffer.HistoryBuffer',
)
# Content of the first pickle in a file of PyTorch before 1.6.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class RefusedError(ValueError):
  """Raised for a file that names what is neither a tensor nor plain data."""


def read(path, key='', ema=False):
  """Returns {name: array}, the weights in a file.

  Args:
    path: a file of PyTorch (`.pth`, `.pt`), safetensors or NumPy (`.npz`); its
      content tells which.
    key: entry of the checkpoint that holds the weights, 'state_dict_ema' for
      instance. By default its only entry among `WRAPPERS` does, or the weights
      are all that is in the file. It may also be what the names of the
      weights begin with, 'teacher'.
    ema: whether to take the moving averages of the weights (EMA) where the file
      has both; by default they are left out, and the log tells of them.

  Raises:
    RefusedError: a pickle names more than plain data; nothing was executed.
    ValueError: the file is damaged or of another kind, or it is not clear
      which of its entries are weights.
  """
  path = epath.Path(path)
  with path.open('rb') as file:
    start = file.read(9)
    file.seek(0)
    try:
      # The first bytes of safetensors are a length, and can be any.
      if start[6:] == b'\0\0{':
        content = _read_safetensors(file)
      elif start.startswith(b'PK'):
        content = _read_zip(file)
      elif start.startswith(b'\x80'):
        content = _read_legacy(file)
      else:
        raise ValueError(
            'it is no file of PyTorch, safetensors or NumPy (.npz): it begins'
            f' with {start!r}'
        )
      weights, averaged = select(content, key, ema)
      return _without_averages(_arrays(weights), ema, averaged)
    except RefusedError as error:
      raise RefusedError(f'{path} is refused: {error}') from error
    except ValueError as error:
      raise ValueError(f'{path} cannot be read: {error}') from error
    except Exception as error:  # Damaged pickles raise errors of any type.
      raise ValueError(
          f'{path} is damaged; download it again. {type(error).__name__}:'
          f' {error}'
      ) from error


def write(path, arrays):
  """Writes {name: array} as `.safetensors` or `.npz`, whole or not at all."""
  path = epath.Path(path)
  writers = {
      '.safetensors': lambda arrays, file: file.write(
          safetensors.numpy.save(arrays)
      ),
      '.npz': lambda arrays, file: np.savez(file, **arrays),
  }
  if path.suffix not in writers:
    raise ValueError(f'{path}: the suffix has to be {" or ".join(writers)}.')
  # safetensors writes the memory of a view, not the view.
  whole = {n: np.asarray(array, order='C') for n, array in arrays.items()}
  with atomic.replacing(path) as file:
    writers[path.suffix](whole, file)


def read_written(path):
  """Returns {name: array} of a `.safetensors` that `write` has written."""
  with epath.Path(path).open('rb') as file:
    return _read_safetensors(file)


def _read_safetensors(file):
  """Reads safetensors from a local copy: only `load_file` knows bfloat16."""
  with tempfile.NamedTemporaryFile() as local:
    shutil.copyfileobj(file, local)
    local.flush()
    return safetensors.numpy.load_file(local.name)


def _read_zip(file):
  """Reads an archive of PyTorch 1.6 and later, or of NumPy."""
  archive = zipfile.ZipFile(file)
  names = archive.namelist()
  if all(name.endswith('.npy') for name in names):
    with np.load(file, allow_pickle=False) as arrays:
      return dict(arrays)
  pickles = [name for name in names if re.fullmatch('[^/]+/data.pkl', name)]
  if len(pickles) != 1:
    raise ValueError(
        'it is a zip archive, but neither of PyTorch nor of NumPy.'
    )
  folder = pickles[0].removesuffix('data.pkl')
  if f'{folder}constants.pkl' in names:
    raise ValueError(
        'it is TorchScript, a program. Save the state_dict of the module.'
    )
  order = 'little'
  if f'{folder}byteorder' in names:
    order = archive.read(f'{folder}byteorder').decode()
  return _Unpickler(
      io.BytesIO(archive.read(pickles[0])),
      lambda name: archive.read(f'{folder}data/{name}'),
      order,
  ).load()


def _read_legacy(file):
  """Reads a file of PyTorch before 1.6: pickles, then bytes of storages."""
  if _Unpickler(file).load() != LEGACY_MAGIC:
    raise ValueError('it is a pickle, but not of PyTorch.')
  _Unpickler(file).load()  # The version of the format; there was only one.
  _Unpickler(file).load()  # Sizes of types; the bytes are little-endian.
  data = {}
  unpickler = _Unpickler(file, data.__getitem__)
  content = unpickler.load()
  for name in _Unpickler(file).load():
    count = int.from_bytes(file.read(8), 'little')
    data[name] = file.read(count * unpickler.storages[name].dtype.itemsize)
  return content


def select(content, key='', ema=False):
  """Finds the weights in a checkpoint.

  Args:
    content: what a file holds.
    key: see `read`.
    ema: whether to take moving averages.

  Returns:
    {name: tensor}, and whether these are moving averages for sure.
  """
  averaged = False
  while isinstance(content, dict):
    inner = {k: v for k, v in content.items() if isinstance(v, dict)}
    if key in inner:  # Whoever chooses knows whether it has averages.
      chosen = inner[key]
      if not any(map(_is_tensor, chosen.values())):
        chosen, _ = select(chosen)
      return chosen, True
    if not key:
      dropped, taken = _choose_average(content, inner, ema and not averaged)
      averaged = averaged or taken is not None
      if taken in inner and taken not in WRAPPERS:
        content = inner[taken]
        continue
      inner = {k: v for k, v in inner.items() if k not in dropped}
    found = [name for name in WRAPPERS if name in inner]
    if len(found) > 1 and not key:
      raise ValueError(
          f'its weights may be in any of {", ".join(found)}. Choose with --key.'
      )
    if len(found) != 1:
      break
    content = inner[found[0]]
  else:
    raise ValueError(f'it holds no weights by name, but {_describe(content)}.')
  if key:
    start = f'{key.rstrip(".")}.'
    names = [n for n in content if isinstance(n, str) and n.startswith(start)]
    if not names:
      raise ValueError(
          f'it has no entry {key!r} with weights. Its entries are'
          f' {", ".join(map(str, content))}.'
      )
    return {name.removeprefix(start): content[name] for name in names}, True
  if not any(map(_is_tensor, content.values())):
    raise ValueError(
        'no entry of it is a tensor. Choose with --key among'
        f' {", ".join(map(str, inner)) or "none"}.'
    )
  return content, averaged


def _is_average(name):
  """Tells whether a name is one of moving averages, such as 'model_ema'."""
  return bool(AVERAGES & set(re.split('[^a-z0-9]+', name.lower())))


def _choose_average(content, inner, ema):
  """Chooses between weights and their moving averages.

  Args:
    content: the checkpoint.
    inner: those of its entries that have entries themselves.
    ema: whether to take the averages.

  Returns:
    Names of entries to leave out, and the entry of averages to take or None.
  """
  averages = [name for name in inner if _is_average(str(name))]
  if 'message_hub' in content and 'ema_state_dict' in averages:
    # MMEngine exchanges both when it saves: `state_dict` has the averages.
    logging.info(
        'Its weights in state_dict are moving averages (EMA): MMEngine saves'
        ' the last weights as ema_state_dict.'
    )
    return averages, 'state_dict'
  if ema and len(averages) > 1:
    raise ValueError(
        f'its EMA weights may be in any of {", ".join(averages)}. Choose with'
        ' --key.'
    )
  if ema and averages:
    logging.info('Taking the EMA weights, entry %r.', averages[0])
    return (), averages[0]
  if averages and any(name in WRAPPERS for name in inner):
    logging.info(
        'It has EMA weights too, in %s, which are left out: --ema takes them.',
        ', '.join(map(repr, averages)),
    )
    return averages, None
  return (), None


def _without_averages(arrays, ema, averaged):
  """Returns weights of which some are moving averages of the others.

  Args:
    arrays: {name: array}. Averages have a first part of their own,
      'ema_model.conv1.weight' beside 'model.conv1.weight'.
    ema: whether to return the averages, without that part.
    averaged: whether the entry they are from has averages alone.

  Raises:
    ValueError: averages are asked for, and there are none.
  """
  counters = [n for n in arrays if n in COUNTERS and arrays[n].size == 1]
  if counters:
    arrays = {n: array for n, array in arrays.items() if n not in counters}
    logging.info(
        'The weights are moving averages (EMA or SWA), as %s tells.',
        ', '.join(counters),
    )
  first = {n: n.partition('.')[0] for n in arrays}
  groups = {part for part in first.values() if _is_average(part)}
  plain = [n for n in arrays if first[n] not in groups]
  ends = {end for n in plain for end in _ends(n)}
  for part in sorted(groups):
    names = [n for n in arrays if first[n] == part]
    same = sum(any(end in ends for end in _ends(n)[1:]) for n in names)
    if 2 * same < len(names):
      continue  # It is a module that is called so.
    if ema:
      logging.info('Taking the EMA weights, %s.*.', part)
      return _without_prefixes(
          {n.partition('.')[2] or n: arrays[n] for n in names}
      )
    logging.info(
        'It has EMA weights too, %s.*, which are left out: --ema takes them.',
        part,
    )
    arrays = {n: array for n, array in arrays.items() if first[n] != part}
  if ema and not averaged and not counters:
    raise ValueError(
        'it has no EMA weights that could be told: leave --ema out'
    )
  return _without_prefixes(arrays)


def _ends(name):
  """Returns a name without its first parts, as long as two are left."""
  parts = name.split('.')
  return ['.'.join(parts[i:]) for i in range(max(len(parts) - 1, 1))]


def _arrays(weights):
  """Returns {name: array}; raises ValueError that lists all other entries."""
  wrong = [
      f'{name}: {_describe(value)}'
      for name, value in weights.items()
      if not _is_tensor(value) or not isinstance(name, str)
  ]
  if wrong:
    raise ValueError(
        'some of its weights are no ordinary tensors:\n  ' + '\n  '.join(wrong)
    )
  return {
      name: value.array() if isinstance(value, _Tensor) else value
      for name, value in weights.items()
  }


def _without_prefixes(arrays):
  """Returns weights without the `PREFIXES` that all of their names have."""
  while prefix := next(
      (p for p in PREFIXES if arrays and all(n.startswith(p) for n in arrays)),
      '',
  ):
    logging.info('All names begin with %r, which is taken off.', prefix)
    arrays = {n.removeprefix(prefix): array for n, array in arrays.items()}
  return arrays


def _is_tensor(value):
  return isinstance(value, _Tensor | np.ndarray)


def _describe(value):
  if isinstance(value, _Unsupported):
    return value.what
  return type(value).__name__.lstrip('_')


class _Unpickler(pickle.Unpickler):
  """Unpickles plain data and tensors; `storages` has the storages by name."""

  def __init__(self, file, read_storage=None, order='little'):
    super().__init__(file, encoding='latin1')
    self._read_storage = read_storage
    self._order = order
    self.storages = {}

  def find_class(self, module, name):
    path = f'{module}.{name}'.replace('__builtin__.', 'builtins.')
    if path in BESIDE:
      return type(
          name, (_Dropped,), {}
      )  # A new class each time: pickles can alter it.
    if path in CALLED:
      return _Name(CALLED[path])
    if path in STORAGES:
      return _Name(STORAGES[path])
    raise RefusedError(
        f'it names {path}, which is neither a tensor nor plain data. Nothing'
        ' in it was executed. If you trust where it is from, load it with'
        ' PyTorch and save its state_dict alone.'
    )

  def persistent_load(self, identity):
    match identity:
      case (
          'storage',
          _Name(call=dtype),
          str(name),
          _,
          int(count),
          *view,
      ) if dtype in STORAGES.values() and not any(view):
        return self.storages.setdefault(
            name,
            _Storage(
                np.dtype(dtype),
                count,
                self._order,
                functools.partial(self._read_storage, name),
            ),
        )
    raise ValueError(
        'it holds a module or a kind of storage of PyTorch before 0.4; save'
        ' its state_dict with a later one.'
    )


class _Fixed:
  """Refuses the opcode by which a pickle alters an object."""

  def __setstate__(self, state):
    raise ValueError('it alters an object that stands for a tensor.')


@dataclasses.dataclass(frozen=True)
class _Name(_Fixed):
  """Stands for a function or class that a pickle names."""

  call: object

  def __call__(self, *args):
    return self.call(*args)


@dataclasses.dataclass(frozen=True)
class _Storage(_Fixed):
  """A flat array of numbers that is read at its first use."""

  dtype: np.dtype
  count: int
  order: str
  read: object

  @functools.cached_property
  def values(self):
    order = {'little': '<', 'big': '>'}[self.order]
    size = self.dtype.itemsize
    raw = np.frombuffer(self.read(), f'{order}u{size}', self.count)
    return raw.astype(f'=u{size}', copy=False).view(self.dtype)


@dataclasses.dataclass(frozen=True)
class _Tensor(_Fixed):
  """A strided view of a storage that other tensors may share."""

  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  def array(self):
    """Returns a read-only array; checks that it stays in the storage."""
    values = self.storage.values
    steps = zip(self.shape, self.strides, strict=True)
    last = self.offset + sum((size - 1) * step for size, step in steps)
    empty = 0 in self.shape
    if min(self.offset, *self.shape, *self.strides, 0) < 0 or (
        not empty and last >= len(values)
    ):
      raise ValueError(
          f'a tensor of shape {self.shape} and strides {self.strides} leaves'
          f' its storage of {len(values)} numbers.'
      )
    if empty:
      return np.zeros(self.shape, values.dtype)
    return np.lib.stride_tricks.as_strided(
        values[self.offset :],
        self.shape,
        [step * values.itemsize for step in self.strides],
        writeable=False,
    )


@dataclasses.dataclass(frozen=True)
class _Unsupported(_Fixed):
  """A tensor of a kind that is not read: an error if it is a weight."""

  what: str


class _Dropped:
  """Stands for an object beside the weights and keeps none of its content."""

  def __new__(cls, *args, **kwargs):
    del args, kwargs
    return super().__new__(cls)

  def __init__(self, *args, **kwargs):
    pass

  def __setstate__(self, state):
    pass


def _tensor(storage, offset, shape, strides, *rest):
  """Does what `torch._utils._rebuild_tensor` and `_v2` do."""
  if not isinstance(storage, _Storage):
    raise ValueError('a tensor has no storage.')
  if any(
      rest[2:]
  ):  # The metadata says that it has yet to be conjugated or negated.
    return _Unsupported('a tensor with an operation pending; save its clone()')
  return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _unsupported(what):
  return lambda *_: _Unsupported(what)


CALLED = {
    'collections.OrderedDict': collections.OrderedDict,
    'collections.defaultdict': lambda *_: {},
    'collections.Counter': dict,
    'builtins.set': set,
    'torch.Size': tuple,
    'torch._utils._rebuild_tensor': _tensor,
    'torch._utils._rebuild_tensor_v2': _tensor,
    'torch._utils._rebuild_tensor_v3': _unsupported(
        'of a type that NumPy lacks; save it as float32'
    ),
    'torch._utils._rebuild_parameter': lambda data, *_: data,
    'torch._utils._rebuild_parameter_with_state': lambda data, *_: data,
    'torch._utils._rebuild_sparse_tensor': _unsupported(
        'sparse; save its to_dense()'
    ),
    'torch._utils._rebuild_qtensor': _unsupported(
        'quantised; save its dequantize()'
    ),
    'torch._utils._rebuild_meta_tensor_no_storage': _unsupported(
        'on the meta device, without values'
    ),
    'torch._utils._rebuild_nested_tensor': _unsupported('nested'),
    # A tensor with attributes of its own.
    'torch._tensor._rebuild_from_type_v2': (
        lambda rebuild, kind, args, state: rebuild(*args)
    ),
}
