"""Base class of random ops."""

import dataclasses

import grain


@dataclasses.dataclass(frozen=True)
class Sometimes(grain.transforms.RandomMap):
  """An op that is applied to an example with probability `prob`."""

  prob: float = 0.5

  def __post_init__(self):
    if not 0 <= self.prob <= 1:
      raise ValueError(f'prob {self.prob} is not between 0 and 1')

  def change(self, features, rng):
    """Applies the op to the fields of an example."""
    raise NotImplementedError

  def random_map(self, features, rng):
    return self.change(features, rng) if rng.random() < self.prob else features
