import dataclasses
import sys

import pytest

from segjax.benchmark import run
from segjax.benchmark.process import Worker

OPTIONS = run.Options(
    models=['unet'],
    what=['forward'],
    size=(64, 64),
    batch=2,
    dtype='float32',
    devices=1,
    peers=[],
    peer_python=sys.executable,
    seconds=0.1,
    repeats=2,
    profile='',
    folder='',
    threads=1,
    workdir='',
)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'models': ['unett']}, '--models: there is no unett. Known: deeplab'),
        ({'what': ['learn']}, '--what: there is no learn. Known: forward'),
        (
            {'peers': ['mxnet']},
            '--peer: there is no mxnet. Known: plain, torch',
        ),
        ({'peers': ['torch'], 'devices': 2}, 'run on one'),
        ({'peers': ['torch', 'keras']}, 'one of them at a time'),
        ({'what': ['predict']}, '--workdir'),
    ],
)
def test_what_there_is_not_is_refused(changes, words):
  with pytest.raises(ValueError, match=words):
    dataclasses.replace(OPTIONS, **changes)


@pytest.mark.parametrize('words', [['0'], ['a'], ['1', '2', '3'], ['-4', '5']])
def test_a_size_has_one_or_two_sides(words):
  with pytest.raises(ValueError, match='height and width'):
    run.parse_size(words)
  assert run.parse_size(['513']) == (513, 513)
  assert run.parse_size(['512', '1024']) == (512, 1024)


def test_a_python_that_lacks_the_peer_is_told_what_to_install(tmp_path):
  # An interpreter without site-packages stands for an empty environment.
  bare = tmp_path / 'python'
  bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
  bare.chmod(0o755)
  with (
      pytest.raises(ValueError, match='(?s)torch.*segjax/benchmark/torch.txt'),
      run.peer(dataclasses.replace(OPTIONS, peer_python=str(bare)), 'torch'),
  ):
    pass


def test_a_python_that_is_not_there_is_told_what_to_install(tmp_path):
  python = str(tmp_path / 'none')
  with (
      pytest.raises(ValueError, match='cannot be started(.|\n)*keras.txt'),
      run.peer(dataclasses.replace(OPTIONS, peer_python=python), 'keras'),
  ):
    pass


@pytest.fixture
def fakes(monkeypatch):
  def start(*_, **__):
    return Worker(sys.executable, 'tests.benchmark.fake_worker')

  monkeypatch.setattr(run, 'jax_worker', start)
  monkeypatch.setattr(run, 'peer', start)


def test_ours_and_theirs_are_compared(fakes):
  options = dataclasses.replace(OPTIONS, peers=['plain', 'torch'])
  workers = {}
  (rows,) = run.run(options, workers)
  assert [row['who'] for row in rows] == [
      *('segjax', 'segjax plain', 'torch eager', 'torch compiled'),
  ]
  assert workers['torch']['flops_per_second'] == 1e9
  assert rows[3]['time_ratio'] == 1.0
  assert rows[0]['told']['size'] == [64, 64]
  assert rows[2]['told']['net'] == 'unet'
  assert rows[3]['told']['compiled']


def test_latencies_are_of_single_images_of_both_sizes(fakes):
  options = dataclasses.replace(
      OPTIONS, what=['latency'], models=['lraspp', 'espnet'], peers=['torch']
  )
  lraspp, _, espnet, _ = run.run(options, {})
  assert [row['who'] for row in lraspp] == [
      *('segjax', 'segjax, from file to file'),
      *('torch eager', 'torch compiled'),
  ]
  assert [row['who'] for row in espnet] == [
      'segjax',
      'segjax, from file to file',
  ]
  net, files, *_ = lraspp
  assert net['what'] == files['what'] == 'latency, 1024 x 2048'
  assert net['told']['size'] == files['told']['size'] == [1024, 2048]
  assert net['told']['batch'] == 1
  assert files['told']['of'] == net['who']
  assert net['mean_seconds'] == net['p95_seconds'] == 0.25
  assert len(net['seconds']) == OPTIONS.repeats


def test_a_peer_that_fails_is_left_out(fakes, monkeypatch):
  pair = dataclasses.replace(run.MODELS['unet'], torch='unknown')
  monkeypatch.setitem(run.MODELS, 'unet', pair)
  (rows,) = run.run(dataclasses.replace(OPTIONS, peers=['torch']), {})
  assert [row['who'] for row in rows] == ['segjax']


def test_pmap_is_compared_with_jit(fakes):
  (rows,) = run.run(dataclasses.replace(OPTIONS, what=['pmap']), {})
  assert [row['who'] for row in rows] == ['segjax', 'segjax pmap']
  assert rows[1]['told']['mode'] == 'pmap'
  assert rows[1]['time_ratio'] == 1.0
