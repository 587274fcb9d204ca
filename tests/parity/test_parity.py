"""Ours and the original, with the same weights, on the same image."""

from collections.abc import Callable
import dataclasses
import functools
import pathlib

from flax import linen as nn
import jax
import numpy as np
import pytest

from segjax import models
from segjax.convert import torch
from segjax.convert.rules.torchvision import deeplabv3
from tests.parity import reference

FOLDER = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Case:
  """How to compute with a model of ours what a fixture holds."""

  model: nn.Module  # Without dropout.
  rules: tuple
  # The fixture's name of an output -> where it is: in what the model returns,
  # or in what its parts, by name, return.
  outputs: dict[str, Callable]


CASES = {
    'torchvision_deeplabv3_resnet50': Case(
        models.create(
            'deeplabv3',
            num_classes=5,
            backbone='resnet/50',
            output_stride=8,
            rates=(12, 24, 36),
            dropout=0.0,
        ),
        deeplabv3.RULES,
        {
            'logits': lambda out, parts: out['logits'],
            'aux_0': lambda out, parts: out['aux']['c4'],
            'backbone_every128': (
                lambda out, parts: parts['backbone']['c5'][..., ::128]
            ),
        },
    ),
}


def compute(case, spec):
  """Returns {name: array} as the fixture names them; 'train_' in train mode."""
  image = reference.image(spec)
  template = jax.eval_shape(case.model.init, jax.random.key(0), image)
  variables = torch.convert(reference.state(spec), case.rules, template)
  computed = {}
  for train, prefix in ((False, ''), (True, 'train_')):
    forward = functools.partial(
        case.model.apply,
        train=train,
        mutable=['batch_stats', 'intermediates'],
        capture_intermediates=lambda module, _: len(module.path) == 1,
    )
    out, collections = jax.jit(forward)(variables, image)
    parts = {
        name: returned['__call__'][0]
        for name, returned in collections['intermediates'].items()
    }
    for name, find in case.outputs.items():
      computed[f'{prefix}{name}'] = np.asarray(find(out, parts))
  return computed


def tolerance(spec, name):
  """Allowed difference, in standard deviations of the original's output."""
  if name.startswith('train_'):  # Batch statistics of few pixels amplify noise.
    return max(1e-2, 20 * spec['float32_error'][name])
  return 1e-3


def test_every_fixture_has_a_case():
  assert {path.stem for path in FOLDER.glob('*.npz')} == set(CASES)


@pytest.mark.parametrize('name', CASES)
def test_outputs_equal_the_originals_in_eval_and_train_mode(name):
  spec, expected = reference.load(FOLDER / f'{name}.npz')
  computed = compute(CASES[name], spec)
  for output, theirs in expected.items():
    assert list(computed[output].shape) == spec['outputs'][output]
    ours = reference.sample(output, computed[output])
    difference = np.abs(ours - theirs).max() / theirs.std()
    assert difference <= tolerance(spec, output), output
