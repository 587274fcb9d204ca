"""Ours and the original, with the same weights, on the same image."""

import pathlib

import jax
import pytest

from tests.parity import compare
from tests.parity import reference
from tests.parity.cases import CASES

FOLDER = pathlib.Path(__file__).parent / 'fixtures'


def test_every_fixture_has_a_case():
  assert {path.stem for path in FOLDER.glob('*.npz')} == set(CASES)


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=pytest.mark.slow) if case.slow else name
        for name, case in CASES.items()
    ],
)
def test_outputs_equal_the_originals_in_eval_and_train_mode(name):
  spec, given, expected = reference.load(FOLDER / f'{name}.npz')
  case = CASES[name]
  computed = case.compute(spec, given)
  for output in expected.keys() - set(case.uncompared):
    theirs = expected[output]
    assert list(computed[output].shape) == spec['outputs'][output]
    ours = reference.sample(output, computed[output])
    error = compare.error(ours, theirs)
    assert error <= compare.tolerance(case, spec, output, theirs), output
  jax.clear_caches()  # All these networks together fill the memory.
