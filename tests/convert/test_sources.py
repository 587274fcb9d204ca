"""Weights by name: their cache, and a server of this machine as the hub."""

import concurrent.futures
import dataclasses
import hashlib
import http.server
import pathlib
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest

from segjax import experiment
from segjax import train
from segjax.artifacts.checkpoint import Checkpoints
from segjax.artifacts.workdir import Workdir
from segjax.convert import sources
from segjax.convert import torch_file
from segjax.convert import workdirs
from tests import tiny
from tests.convert import torchvision


class Server:
  """Sends files; one may be cut off after some bytes, or be unknown."""

  def __init__(self):
    self.files, self.cut, self.asked = {}, None, []
    server = self

    class Handler(http.server.BaseHTTPRequestHandler):

      def do_GET(self):  # noqa: N802
        server.asked.append(self.path)
        data = server.files.get(self.path)
        if data is None:
          self.send_error(404)
          return
        self.send_response(200)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data[: server.cut])

      def log_message(self, *_):
        pass

    self._http = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    self._thread = threading.Thread(target=self._http.serve_forever)
    self._thread.start()

  def add(self, stem, data):
    """Offers a file under a name with its digits; returns its `Weights`."""
    name = f'{stem}-{hashlib.sha256(data).hexdigest()[:8]}'
    self.files[f'/{name}.pth'] = data
    address = f'http://127.0.0.1:{self._http.server_port}/{name}.pth'
    return sources.Weights('torchvision', name, address)

  def stop(self):
    self._http.shutdown()
    self._http.server_close()
    self._thread.join()


@pytest.fixture
def server(monkeypatch):
  monkeypatch.setenv('NO_PROXY', '127.0.0.1')
  server = Server()
  yield server
  server.stop()


@pytest.fixture
def cache(monkeypatch, tmp_path):
  folder = tmp_path / 'cache'
  monkeypatch.setenv(sources.VARIABLE, str(folder))
  return folder


def files(folder):
  """Returns the names of what a folder has beside locks."""
  paths = folder.iterdir() if folder.exists() else ()
  return {path.name for path in paths if path.suffix != '.lock'}


def test_a_file_is_fetched_once(server, cache):
  weights = server.add('net', b'abc' * 1_000_000)
  path = sources.fetch(weights)
  assert pathlib.Path(path).read_bytes() == b'abc' * 1_000_000
  assert sources.fetch(weights) == path
  assert server.asked == [f'/{weights.name}.pth']
  assert files(cache) == {f'{weights.name}.pth'}


def test_a_file_with_other_digits_is_not_kept(server, cache):
  weights = server.add('net', b'right')
  server.files[f'/{weights.name}.pth'] = b'wrong'
  with pytest.raises(ValueError, match='is not the file that its name says'):
    sources.fetch(weights)
  assert not files(cache)


def test_half_a_file_is_not_kept(server, cache):
  weights = server.add('net', bytes(100_000))
  server.cut = 40_000
  with pytest.raises(ConnectionError, match='after 40000 of 100000') as error:
    sources.fetch(weights)
  assert weights.address in str(error.value)
  assert not files(cache)
  server.cut = None
  assert sources.fetch(weights).exists()


def test_without_a_server_the_error_says_which_file_to_put_where(server, cache):
  weights = server.add('net', b'content')
  server.stop()
  with pytest.raises(ConnectionError) as error:
    sources.fetch(weights)
  path = cache / f'{weights.name}.pth'
  for part in (weights.address, str(path), sources.VARIABLE):
    assert part in str(error.value)
  path.write_bytes(b'content')
  assert pathlib.Path(sources.fetch(weights)) == path


def test_an_unknown_file_is_an_error_with_the_servers_answer(server, cache):
  weights = server.add('net', b'content')
  server.files.clear()
  with pytest.raises(ConnectionError, match='404'):
    sources.fetch(weights)
  assert not files(cache)


def test_a_file_put_there_by_hand_is_checked_and_left_alone(server, cache):
  weights = server.add('net', b'content')
  cache.mkdir()
  (cache / f'{weights.name}.pth').write_bytes(b'something else')
  with pytest.raises(ValueError, match='Delete it'):
    sources.fetch(weights)
  assert (cache / f'{weights.name}.pth').read_bytes() == b'something else'
  assert not server.asked


def test_many_at_once_fetch_a_file_once(server, cache):
  weights = server.add('net', bytes(3_000_000))
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    paths = set(pool.map(sources.fetch, [weights] * 8))
  assert len(paths) == len(server.asked) == 1
  assert files(cache) == {f'{weights.name}.pth'}


def test_processes_wait_for_the_one_that_fetches(server, cache):
  data = bytes(3_000_000)
  weights = server.add('net', data)
  # The other process holds the lock while this one asks, then puts the file
  # there.
  cache.mkdir()
  path = cache / f'{weights.name}.pth'
  program = (
      'import filelock, pathlib, sys\n'
      f"with filelock.FileLock(r'{cache / f'.{path.name}.lock'}'):\n"
      "  print('locked', flush=True)\n"
      '  sys.stdin.readline()\n'
      f"  part = pathlib.Path(r'{path}.part')\n"
      f'  part.write_bytes(bytes({len(data)}))\n'
      f"  part.rename(r'{path}')\n"
  )
  with (
      subprocess.Popen(
          [sys.executable, '-c', program],
          stdin=subprocess.PIPE,
          stdout=subprocess.PIPE,
          text=True,
      ) as other,
      concurrent.futures.ThreadPoolExecutor(1) as pool,
  ):
    assert other.stdout.readline() == 'locked\n'
    fetched = pool.submit(sources.fetch, weights)
    other.stdin.write('\n')
    other.stdin.flush()
    assert pathlib.Path(fetched.result()) == path
  assert not server.asked


def test_texts_are_names_addresses_or_paths(cache):
  name = 'torchvision:resnet50-11ad3fa6'
  assert sources.find(name).backbone == 'resnet/50'
  for path in ('runs/voc', 'gs://bucket/run', '/a:b/c', 'torchvision'):
    assert sources.find(path) is None
    assert str(sources.local(path)) == path
  with pytest.raises(ValueError, match='Known: .*:resnet50-11ad3fa6'):
    sources.find('torchvision:resnet50-11ad3fa7')
  with pytest.raises(ValueError, match='--source=mmseg'):
    sources.find('mmseg:pspnet')
  with pytest.raises(ValueError, match='0123abcd.pth'):
    sources.local('https://127.0.0.1/model.safetensors')
  # Digits are looked for at the end, before the ending.
  path = cache / f'{"a" * 8}-{hashlib.sha256(b"x").hexdigest()[:10]}.npz'
  cache.mkdir()
  path.write_bytes(b'x')
  address = f'https://127.0.0.1/{path.name}?download=true'
  assert pathlib.Path(sources.local(address)) == path


def test_the_list_has_names_contents_addresses_and_the_folder(cache):
  shown = workdirs.describe()
  assert str(cache) in shown
  lines = [line.split() for line in shown.splitlines()]
  for title, weights in sources.TABLE.items():
    content = weights.backbone or weights.model
    assert [title, content, weights.address] in lines


def test_what_a_killed_process_has_left_is_replaced(server, cache):
  weights = server.add('net', b'content')
  cache.mkdir()
  (cache / f'.{weights.name}.pth.tmp').write_bytes(b'cont')
  assert pathlib.Path(sources.fetch(weights)).read_bytes() == b'content'
  assert files(cache) == {f'{weights.name}.pth'}


def test_a_wrong_name_ends_a_run_before_it_makes_anything(tmp_path):
  config = tiny.get_config()
  config.init_from = 'torchvision:resnet50-00000000'
  workdir = Workdir(tmp_path / 'run')
  with pytest.raises(ValueError, match='no weights called'):
    train.run(config, workdir)
  assert not workdir.path.exists()


def test_names_carry_digits_and_say_a_backbone_or_a_system_with_rules():
  for title, weights in sources.TABLE.items():
    assert title == f'{weights.source}:{weights.name}'
    assert weights.address.startswith('https://')
    assert weights.file_name == f'{weights.name}.pth'
    assert sources._digits(weights)
    stem = weights.model or weights.backbone.partition('/')[0]
    assert stem in workdirs.rules.names()[weights.source]
    assert bool(weights.backbone) != bool(weights.num_classes)


def offer(server, monkeypatch, state, tmp_path, **about):
  """Puts a file of weights into the table; returns its name there."""
  path = tmp_path / 'file.npz'
  torch_file.write(path, state)
  weights = dataclasses.replace(server.add('tiny', path.read_bytes()), **about)
  monkeypatch.setitem(sources.TABLE, weights.title, weights)
  return weights.title


@pytest.fixture(scope='module')
def run():
  """A run without weights to begin with, and its random first state."""
  config = tiny.get_config()
  config.model.update(rates=(1, 2, 3))
  setup = experiment.training(config)
  return setup, setup.init()


def begin(run, init_from):
  """Returns a first state, and the random one that it is made of."""
  setup, state = run
  setup = dataclasses.replace(setup, init_from=init_from)
  return train.first_state(setup, state), state


def test_a_run_begins_with_a_backbone_by_its_name(
    run, server, cache, monkeypatch, tmp_path
):
  shapes = torchvision.resnet() | {'fc.weight': (1000, 128), 'fc.bias': (1000,)}
  state = torchvision.state(shapes)
  broken = state | {'extra.weight': np.full(3, np.nan)}
  name = offer(
      server,
      monkeypatch,
      broken,
      tmp_path,
      backbone='resnet/tiny',
      only='(?!extra)',
  )
  first, random = begin(run, name)
  kernel = first.params['backbone']['stem']['conv']['kernel']
  expected = state['conv1.weight'].transpose(2, 3, 1, 0)
  np.testing.assert_array_equal(kernel, expected)
  np.testing.assert_array_equal(
      first.params['classifier']['kernel'],
      random.params['classifier']['kernel'],
  )


def test_a_run_begins_with_a_system_of_other_classes_by_its_name(
    run, server, cache, monkeypatch, tmp_path
):
  state = torchvision.state(torchvision.deeplabv3(7))
  name = offer(
      server,
      monkeypatch,
      state,
      tmp_path,
      model='deeplabv3',
      num_classes=7,
      fields=dict(
          backbone='resnet/tiny(output_stride=8)', features=8, rates=(1, 2, 3)
      ),
  )
  first, random = begin(run, name)
  kernel = first.params['fuse']['conv']['kernel']
  expected = state['classifier.1.weight'].transpose(2, 3, 1, 0)
  np.testing.assert_array_equal(kernel, expected)
  np.testing.assert_array_equal(
      first.params['classifier']['kernel'],
      random.params['classifier']['kernel'],
  )
  # Converted as a file, it is the same.
  config = tiny.get_config()
  config.model.update(rates=(1, 2, 3))
  workdirs.convert('torchvision', config, name, tmp_path / 'new', num_classes=7)
  saved = workdirs.checkpoint.best(tmp_path / 'new/checkpoints')[1]
  named = workdirs.read_named(sources.find(name))
  jax.tree.map(np.testing.assert_array_equal, saved, named)
  # A run that began with the name is written back under the names of the file.
  config.init_from = name
  workdir = Workdir(tmp_path / 'run')
  workdir.make()
  workdir.claim(config)
  checkpoints = Checkpoints(workdir.checkpoints)
  params = named.pop('params')
  checkpoints.save(0, {'params': params, 'mutable': named})
  checkpoints.close()
  workdirs.write_back(workdir.path, tmp_path / 'back.npz')
  back = torch_file.read(tmp_path / 'back.npz')
  np.testing.assert_array_equal(
      back['classifier.1.weight'], state['classifier.1.weight']
  )
