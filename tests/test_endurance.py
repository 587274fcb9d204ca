"""What python -m tests.endurance judges by; the run itself takes half an hour.

That a short run compiles nothing late is asserted in test_train.py.
"""

import pytest

from tests import endurance

STEADY = dict(memory_GB=1.0, open_files=20, threads=30, compilations=9)


def lines(**changes):
  """Ten lines with an evaluation in the third; `changes` are functions of i."""
  return [
      {'minutes': i, 'step': i, 'evaluated': i % 3 == 2}
      | STEADY
      | {name: change(i) for name, change in changes.items()}
      for i in range(10)
  ]


def test_a_start_may_grow_and_compile():
  early = lines(
      memory_GB=lambda i: min(i, 4) / 4,
      threads=lambda i: 10 + min(i, 4),
      compilations=lambda i: min(i, 3),
  )
  assert endurance.broken(early) == []


@pytest.mark.parametrize('name', ['memory_GB', 'open_files', 'threads'])
def test_what_grows_is_named(name):
  (words,) = endurance.broken(lines(**{name: lambda i: 10 + i}))
  assert words == f'{name} grew from 15 to 18.'


def test_files_open_for_a_moment_do_not_grow():
  saving = lines(open_files=lambda i: 20 + 3 * (i == 8))
  assert endurance.broken(saving) == []


def test_a_late_compilation_is_counted():
  late = endurance.broken(lines(compilations=lambda i: 9 + (i == 9)))
  assert late == ['1 programs were compiled after the evaluation.']


def test_a_run_without_an_evaluation_proves_nothing():
  assert endurance.broken(lines(evaluated=lambda i: False))
