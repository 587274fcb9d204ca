"""The faults of tests/faults that take seconds; the others are slow."""

import functools
import sys

import pytest

from tests.faults import __main__ as harness
from tests.faults import clocks
from tests.faults import data
from tests.faults import disks
from tests.faults import images
from tests.faults import kills
from tests.faults import strangers
from tests.faults.found import Found

SLOW = (
    *(disks.full, disks.turned_read_only, strangers.checkpoints),
    *(kills.stopped_in_evaluation, kills.stopped_in_compilation),
    *(
        data.evaluated,
        data.damaged,
        data.not_a_number,
        data.loaders,
        clocks.set_back,
    ),
)


def check(fault, folder):
  found = fault(folder, 0)
  assert found.kept == found.tries, found.words
  return found


@pytest.mark.parametrize(
    ('fault', 'tries'),
    [
        (images.odd, len(images.FILES)),
        (strangers.weights, 7),
        (functools.partial(disks.damaged, times=2), 6),
    ],
)
def test_a_promise_is_kept(tmp_path, fault, tries):
  assert check(fault, tmp_path).tries == tries


@pytest.mark.slow
@pytest.mark.parametrize('fault', SLOW, ids=lambda fault: fault.__name__)
def test_a_promise_is_kept_by_whole_runs(tmp_path, fault):
  check(fault, tmp_path)


def kept(folder, seed):
  found = Found()
  found.note(True, 'ended')
  found.note(True, 'ended')
  return found


def broken(folder, seed):
  found = Found()
  found.note(False, 'ended', 'went on')
  return found


def impossible(folder, seed):
  raise RuntimeError('no such fault')


@pytest.mark.parametrize(
    ('fault', 'code', 'row'),
    [
        (kept, 0, '| 2 | 2 | ended (2 times) |'),
        (broken, 1, '| 1 | 0 | BROKEN: ended: went on |'),
        (impossible, 1, 'RuntimeError: no such fault'),
    ],
)
def test_the_table_counts_and_the_code_tells_what_is_broken(
    monkeypatch, capsys, fault, code, row
):
  monkeypatch.setattr(harness, 'faults', lambda kills: {'a fault': fault})
  monkeypatch.setattr(sys, 'argv', ['faults', '--only=fault'])
  assert harness.main() == code
  assert row in capsys.readouterr().out


def test_an_unknown_fault_is_answered_with_those_there_are(monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['faults', '--only=flood'])
  with pytest.raises(SystemExit):
    harness.main()
  assert 'kill -9 at random moments' in capsys.readouterr().err
