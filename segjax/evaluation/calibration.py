"""How far probabilities are those of being right, and a temperature for them.

A network that says 0.9 is calibrated if 90 % of such pixels are right. Trained
networks are often surer than that. A temperature T turns probabilities into
softmax(log(p) / T), of logits softmax(logits / T): above 1 they become less
sure, and the most probable class stays the same (Guo et al., On Calibration of
Modern Neural Networks, 2017, https://arxiv.org/abs/1706.04599).
"""

import dataclasses

import numpy as np
from scipy import optimize
from scipy import special

BINS = 15  # Of confidence, equally wide, as in the paper.
RANGE = (0.05, 20.0)  # Temperatures that `fit` looks at.


def log_probabilities(
    probabilities: np.ndarray, label: np.ndarray, overlapping: bool, ignore: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the decisions that pixels stand for, ignored ones left out.

  Args:
    probabilities: [N, K], of pixels.
    label: [N] class ids, or [N, K] of 0 and 1 where classes overlap.
    overlapping: whether each class is a decision of its own, yes or no.
    ignore: value of the label where a pixel does not count.

  Returns:
    Logarithms of the probabilities of the outcomes, [M, C], C being 2 where
    classes overlap, and which outcome is right, [M].
  """
  # The smallest and the largest number of float32 between 0 and 1.
  low, high = np.finfo(np.float32).tiny, 1 - 2.0**-24
  counts = label != ignore
  if overlapping:
    p = probabilities[counts].clip(low, high).astype(np.float64)
    logs = np.stack([np.log1p(-p), np.log(p)], -1)
  else:
    logs = np.log(probabilities[counts].clip(low, 1))
  return logs.astype(np.float32), label[counts].astype(int)


def negative_log_likelihood(
    logs: np.ndarray, right: np.ndarray, temperature: float = 1.0
) -> float:
  """Returns the mean of -log p(right outcome) at a temperature.

  Args:
    logs: from `log_probabilities`, as for the others.
    right: which outcome is right.
    temperature: T.
  """
  scaled = logs / np.float32(temperature)
  of_right = np.take_along_axis(scaled, right[:, None], 1)[:, 0]
  return float(np.mean(special.logsumexp(scaled, 1) - of_right))


def fit(logs: np.ndarray, right: np.ndarray) -> float:
  """Returns the temperature of the least negative log-likelihood.

  Args:
    logs: from `log_probabilities`.
    right: which outcome is right.
  """
  found = optimize.minimize_scalar(
      lambda log_t: negative_log_likelihood(logs, right, np.exp(log_t)),
      bounds=np.log(RANGE),
      method='bounded',
      options={'xatol': 1e-4},
  )
  return float(np.exp(found.x))


@dataclasses.dataclass(frozen=True)
class Reliability:
  """Decisions by their confidence, the probability of the most probable class.

  Attributes:
    counts: decisions in each bin of confidence, [BINS].
    confidence: mean confidence of those in a bin, 0 where there are none.
    accuracy: share of those in a bin that are right, 0 where there are none.
  """

  counts: np.ndarray
  confidence: np.ndarray
  accuracy: np.ndarray

  @property
  def error(self) -> float:
    """Expected calibration error: mean of |accuracy - confidence|."""
    gaps = np.abs(self.accuracy - self.confidence)
    return float(np.sum(self.counts * gaps) / max(self.counts.sum(), 1))


def reliability(
    logs: np.ndarray, right: np.ndarray, temperature: float = 1.0
) -> Reliability:
  """Returns how often decisions of each confidence are right.

  Args:
    logs: from `log_probabilities`.
    right: which outcome is right.
    temperature: T.
  """
  scaled = logs / np.float32(temperature)
  chosen = scaled.argmax(1)
  confidence = np.exp(scaled.max(1) - special.logsumexp(scaled, 1))
  # A bin holds its upper end, as in the paper.
  bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
  counts, sums, hits = (
      np.bincount(bins, weights, BINS)
      for weights in (None, confidence, chosen == right)
  )
  filled = np.maximum(counts, 1)
  return Reliability(counts, sums / filled, hits / filled)
