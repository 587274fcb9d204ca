"""Files in files/ are written by PyTorch itself, see files/write.py."""

import io
import json
import pathlib
import pickle
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from segjax.convert import torch_file

FILES = pathlib.Path(__file__).parent / 'files'


def numbers(*shape, dtype=np.float32):
  return (np.arange(np.prod(shape)) / 8).reshape(shape).astype(dtype)


TABLE = numbers(6, 8)
EXPECTED = {
    'float': numbers(2, 3, 4),
    'half': numbers(5, dtype=np.float16),
    'bfloat16': numbers(5, dtype=jnp.bfloat16),
    'double': numbers(5, dtype=np.float64),
    'count': np.array(7),
    'bytes': np.arange(3, dtype=np.uint8),
    'flags': np.array([True, False]),
    'empty': np.zeros((0, 3), np.float32),
    'parameter': numbers(3),
    'table': TABLE,
    'column': TABLE[:, 2],
    'transposed': TABLE.T[1::2],
    'expanded': np.full((3, 2), 0.125, np.float32),
    'noted': numbers(2),
}


def assert_same(arrays, expected):
  assert list(arrays) == list(expected)
  for name, array in arrays.items():
    assert array.dtype == expected[name].dtype, name
    assert array.shape == expected[name].shape, name
    np.testing.assert_array_equal(array, expected[name], name)


def write_zip(path, pickled, **more):
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('archive/data.pkl', pickled)
    for name, data in more.items():
      archive.writestr(f'archive/{name}', data)
  return path


@pytest.mark.parametrize(
    'name', ['zip', 'legacy', 'checkpoint', 'checkpoint_legacy']
)
def test_files_of_pytorch_hold_what_was_saved(name):
  assert_same(torch_file.read(FILES / f'{name}.pth'), EXPECTED)


def test_arrays_look_at_one_storage_where_the_tensors_did():
  arrays = torch_file.read(FILES / 'zip.pth')
  assert np.shares_memory(arrays['table'], arrays['column'])
  assert not arrays['table'].flags.writeable


def test_the_byte_order_is_that_of_the_machine_it_was_written_on(tmp_path):
  path = tmp_path / 'big.pth'
  with (
      zipfile.ZipFile(FILES / 'zip.pth') as source,
      zipfile.ZipFile(path, 'w') as target,
  ):
    for name in source.namelist():
      data = source.read(name)
      if name.endswith('byteorder'):
        data = b'big'
      elif name.endswith('data/0'):  # Of 'float'.
        data = np.frombuffer(data, '<f4').astype('>f4').tobytes()
      target.writestr(name, data)
  arrays = torch_file.read(path)
  np.testing.assert_array_equal(arrays['float'], EXPECTED['float'])


@pytest.mark.parametrize('suffix', ['.safetensors', '.npz'])
def test_what_is_written_is_read_again(tmp_path, suffix):
  path = tmp_path / f'weights{suffix}'
  expected = {
      name: array
      for name, array in EXPECTED.items()
      if suffix == '.safetensors' or name != 'bfloat16'
  }
  torch_file.write(path, expected)
  arrays = torch_file.read(path)
  assert_same({name: arrays[name] for name in expected}, expected)
  assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_npz_files_may_have_the_names_of_tensorflow_and_mxnet(tmp_path):
  names = ('conv1/kernel:0', 'arg:conv0_weight', 'global_step')
  arrays = {name: np.full((), i) for i, name in enumerate(names)}
  torch_file.write(tmp_path / 'a.npz', arrays)
  assert_same(torch_file.read(tmp_path / 'a.npz'), arrays)


def test_other_suffixes_are_not_written(tmp_path):
  with pytest.raises(ValueError, match='.safetensors or .npz'):
    torch_file.write(tmp_path / 'weights.pth', EXPECTED)


def test_a_key_chooses_among_several_weights(tmp_path):
  path = tmp_path / 'two.pth'
  arrays = torch_file.read(FILES / 'checkpoint.pth', key='state_dict')
  assert_same(arrays, EXPECTED)
  write_zip(path, pickle.dumps({'model': {'a': 1}, 'net': {'a': 1}}, 2))
  with pytest.raises(ValueError, match='any of model, net. Choose with --key'):
    torch_file.read(path)
  with pytest.raises(ValueError, match="no entry 'ema'.* are model, net"):
    torch_file.read(path, key='ema')


def test_a_key_may_name_what_is_around_the_weights():
  weights = torch_file.read(FILES / 'checkpoint.pth', key='state_dict')
  content = {'student': {'state_dict': weights, 'step': 3}, 'teacher': weights}
  assert torch_file.select(content, 'student') == (weights, True)


@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.module.'])
def test_prefixes_of_wrappers_are_taken_off_and_said(tmp_path, caplog, prefix):
  path = tmp_path / 'wrapped.safetensors'
  torch_file.write(path, {f'{prefix}{n}': x for n, x in EXPECTED.items()})
  with caplog.at_level('INFO'):
    arrays = torch_file.read(path)
  assert_same({name: arrays[name] for name in EXPECTED}, EXPECTED)
  assert "begin with 'module.', which is taken off" in caplog.text


def calling(module, name, argument):
  """Returns a pickle that, loaded, is the result of a call."""
  return f'c{module}\n{name}\n(V{argument}\ntR.'.encode()


def write_legacy(path, pickled):
  start = [torch_file.LEGACY_MAGIC, 1001, {'little_endian': True}]
  path.write_bytes(b''.join(pickle.dumps(s, 2) for s in start) + pickled)
  return path


@pytest.mark.parametrize('write', [write_zip, write_legacy])
def test_a_pickle_that_would_run_a_command_is_refused(tmp_path, write):
  marker = tmp_path / 'marker'
  pickled = calling('os', 'system', f'touch {marker}')
  path = write(tmp_path / 'weights.pth', pickled)
  with pytest.raises(torch_file.RefusedError) as error:
    torch_file.read(path)
  assert f'{path} is refused: it names os.system' in str(error.value)
  assert 'Nothing in it was executed' in str(error.value)
  assert not marker.exists()
  pickle.loads(pickled)  # It was no idle threat.
  assert marker.exists()


@pytest.mark.parametrize(
    ('module', 'name'),
    [
        *(('posix', 'system'), ('subprocess', 'getoutput')),
        *(('builtins', 'eval'), ('builtins', 'exec'), ('builtins', 'open')),
        *(('builtins', 'getattr'), ('importlib', 'import_module')),
        *(('torch', 'load'), ('torch.hub', 'load'), ('numpy', 'load')),
        *(('collections', 'namedtuple'), ('functools', 'partial')),
    ],
)
def test_any_other_name_is_refused(tmp_path, module, name):
  path = write_zip(tmp_path / 'a.pth', calling(module, name, 'x'))
  with pytest.raises(torch_file.RefusedError, match=f'{module}.{name}, which'):
    torch_file.read(path)


def test_a_whole_module_is_refused_by_the_name_of_its_class():
  with pytest.raises(torch_file.RefusedError) as error:
    torch_file.read(FILES / 'module.pth')
  assert 'torch.nn.modules.linear.Linear' in str(error.value)
  assert 'save its state_dict' in str(error.value)


def test_tensors_that_are_not_read_are_named():
  with pytest.raises(ValueError, match='no ordinary tensors') as error:
    torch_file.read(FILES / 'unsupported.pth')
  lines = [line.strip() for line in str(error.value).splitlines()[1:]]
  assert lines == [
      'sparse: sparse; save its to_dense()',
      'quantised: quantised; save its dequantize()',
      'meta: on the meta device, without values',
      'float8: of a type that NumPy lacks; save it as float32',
      'negated: a tensor with an operation pending; save its clone()',
      'nothing: NoneType',
  ]


def test_torchscript_is_refused():
  with pytest.raises(ValueError, match='TorchScript, a program'):
    torch_file.read(FILES / 'script.pth')


def pickled_tensor(offset, shape, strides, state=None):
  """Returns the data.pkl of {'a': tensor}, of storage 0 with 4 numbers."""
  opcodes = io.BytesIO()
  opcodes.write(b'\x80\x02}X\x01\x00\x00\x00actorch._utils\n')
  opcodes.write(b'_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n')
  opcodes.write(b'FloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ')

  def push(value):
    opcodes.write(pickle.dumps(value, 2)[2:-1])

  for value in (offset, shape, strides, False, None):
    push(value)
  opcodes.write(b'tR')
  if state:
    push(state)
    opcodes.write(b'b')
  opcodes.write(b's.')
  return opcodes.getvalue()


FOUR = np.arange(4, dtype=np.float32).tobytes()


def test_a_tensor_inside_its_storage_is_read(tmp_path):
  path = tmp_path / 'a.pth'
  write_zip(path, pickled_tensor(1, (2,), (2,)), **{'data/0': FOUR})
  np.testing.assert_array_equal(torch_file.read(path)['a'], [1, 3])


@pytest.mark.parametrize(
    ('offset', 'shape', 'strides'),
    [(1, (4,), (1,)), (0, (2, 2), (3, 1)), (-1, (2,), (1,)), (3, (2,), (-1,))],
)
def test_no_tensor_reads_memory_beside_its_storage(
    tmp_path, offset, shape, strides
):
  path = tmp_path / 'a.pth'
  pickled = pickled_tensor(offset, shape, strides)
  write_zip(path, pickled, **{'data/0': FOUR})
  with pytest.raises(ValueError, match='leaves its storage of 4 numbers'):
    torch_file.read(path)


def test_what_stands_for_a_tensor_cannot_be_altered(tmp_path):
  path = tmp_path / 'a.pth'
  pickled = pickled_tensor(0, (4,), (1,), state={'offset': 64})
  write_zip(path, pickled, **{'data/0': FOUR})
  with pytest.raises(ValueError, match='alters'):
    torch_file.read(path)


@pytest.mark.parametrize('name', ['zip', 'legacy', 'checkpoint_legacy'])
@pytest.mark.parametrize('share', [0.3, 0.6, 0.95])
def test_a_truncated_file_says_that_it_is_damaged(tmp_path, name, share):
  whole = (FILES / f'{name}.pth').read_bytes()
  path = tmp_path / 'part.pth'
  path.write_bytes(whole[: int(share * len(whole))])
  with pytest.raises(ValueError, match=f'{path} (is damaged|cannot be read)'):
    torch_file.read(path)


def test_flipped_bits_are_noticed(tmp_path):
  path = tmp_path / 'a.pth'
  whole = (FILES / 'zip.pth').read_bytes()
  place = whole.index(EXPECTED['float'].tobytes())
  path.write_bytes(whole[:place] + b'\x01' + whole[place + 1 :])
  with pytest.raises(ValueError, match='damaged'):
    torch_file.read(path)


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (b'<!DOCTYPE html>', "begins with b'<!DOCTYPE'"),
        (b'version https://git-lfs', "begins with b'version h'"),
        (b'', "begins with b''"),
        (pickle.dumps({'a': 1}, 2), 'a pickle, but not of PyTorch'),
        (pickle.dumps([1], 4), 'a pickle, but not of PyTorch'),
    ],
)
def test_files_of_other_kinds_say_what_they_are(tmp_path, content, said):
  path = tmp_path / 'weights.pth'
  path.write_bytes(content)
  with pytest.raises(ValueError, match='cannot be read') as error:
    torch_file.read(path)
  assert said in str(error.value)
  assert str(path) in str(error.value)


@pytest.mark.parametrize('content', [[1, 2], 3.5, 'text', None])
def test_a_pickle_without_names_holds_no_weights(tmp_path, content):
  path = write_zip(tmp_path / 'a.pth', pickle.dumps(content, 2))
  with pytest.raises(ValueError, match='holds no weights by name'):
    torch_file.read(path)


def test_entries_without_tensors_are_listed(tmp_path):
  content = {'epoch': 3, 'generator': {'a': 1}, 'critic': {'a': 1}}
  path = write_zip(tmp_path / 'a.pth', pickle.dumps(content, 2))
  with pytest.raises(ValueError, match='--key among generator, critic'):
    torch_file.read(path)


def test_an_array_of_objects_in_npz_is_refused(tmp_path):
  path = tmp_path / 'a.npz'
  np.savez(path, a=np.array([{}], dtype=object))
  with pytest.raises(ValueError, match='Object arrays'):
    torch_file.read(path)


@pytest.mark.parametrize('start', [b'\x80', b'PK'])
def test_safetensors_may_begin_like_another_kind_of_file(tmp_path, start):
  """Their first bytes are the length of the header, and can be any."""
  length = int.from_bytes(start + bytes(8 - len(start)), 'little')
  tensor = {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}
  header = json.dumps({'weight': tensor}).encode().ljust(length)
  path = tmp_path / 'weights.safetensors'
  path.write_bytes(length.to_bytes(8, 'little') + header + bytes(4))
  assert torch_file.read(path).keys() == {'weight'}


def absurd_safetensors():
  tensor = {'dtype': 'F32', 'shape': [10**6] * 3, 'data_offsets': [0, 4]}
  header = json.dumps({'weight': tensor}).encode()
  return len(header).to_bytes(8, 'little') + header + bytes(4)


def absurd_npz():
  array, archive = io.BytesIO(), io.BytesIO()
  np.lib.format.write_array_header_1_0(
      array, {'descr': '<f4', 'fortran_order': False, 'shape': (10**6, 10**6)}
  )
  with zipfile.ZipFile(archive, 'w') as file:
    file.writestr('weight.npy', array.getvalue() + bytes(4))
  return archive.getvalue()


@pytest.mark.parametrize(
    ('suffix', 'content'),
    [('.safetensors', absurd_safetensors), ('.npz', absurd_npz)],
)
def test_a_shape_far_larger_than_the_file_is_refused(tmp_path, suffix, content):
  path = tmp_path / f'weights{suffix}'
  path.write_bytes(content())
  with pytest.raises(ValueError, match=f'{path.name} is damaged'):
    torch_file.read(path)


WEIGHTS = {
    'conv1.weight': np.ones((2, 1), np.float32),
    'bn1.bias': np.zeros(2, np.float32),
}
AVERAGES = {name: array + 5 for name, array in WEIGHTS.items()}


def named(prefix, weights):
  return {f'{prefix}{name}': array for name, array in weights.items()}


@pytest.mark.parametrize(
    'content',
    [
        {'state_dict': WEIGHTS, 'state_dict_ema': AVERAGES},
        {'model': WEIGHTS, 'ema': {'module': AVERAGES}, 'epoch': 3},
        {'params': WEIGHTS, 'params_ema': AVERAGES},
    ],
)
def test_averages_in_an_entry_of_their_own_are_taken_by_a_flag(content):
  assert torch_file.select(content) == (WEIGHTS, False)
  assert torch_file.select(content, ema=True) == (AVERAGES, True)


def test_mmengine_saves_averages_as_its_state_dict():
  content = {
      'state_dict': AVERAGES,
      'ema_state_dict': {'steps': np.array(7), **named('module.', WEIGHTS)},
      'message_hub': {},
  }
  assert torch_file.select(content) == (AVERAGES, True)
  assert torch_file.select(content, ema=True) == (AVERAGES, True)


@pytest.mark.parametrize('prefix', ['ema_model.', 'model_ema.module.'])
def test_averages_under_names_of_their_own_are_taken_by_a_flag(
    tmp_path, caplog, prefix
):
  path = tmp_path / 'both.npz'
  torch_file.write(path, named('model.', WEIGHTS) | named(prefix, AVERAGES))
  with caplog.at_level('INFO'):
    state = torch_file.read(path)
  assert '--ema takes them' in caplog.text
  assert_same(state, named('model.', WEIGHTS))
  assert_same(torch_file.read(path, ema=True), AVERAGES)
  assert_same(torch_file.read(path, key=prefix), AVERAGES)


def test_what_counts_averages_is_no_weight(tmp_path):
  path = tmp_path / 'averaged.npz'
  counter = {'n_averaged': np.array(7)}
  torch_file.write(path, counter | named('module.', WEIGHTS))
  for ema in (False, True):
    assert_same(torch_file.read(path, ema=ema), WEIGHTS)


def test_a_module_that_is_called_ema_is_no_average(tmp_path):
  path = tmp_path / 'module.npz'
  state = {'ema.bases': np.ones(3, np.float32), **WEIGHTS}
  torch_file.write(path, state)
  assert_same(torch_file.read(path), state)
  with pytest.raises(ValueError, match='no EMA weights'):
    torch_file.read(path, ema=True)
