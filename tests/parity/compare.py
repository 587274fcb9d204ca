"""Says how far an output is from the original's, and how far it may be."""

import numpy as np


def tolerance(case, spec, output, theirs):
  """Returns the error that is allowed; see `error` for what it counts.

  The fixture's own table holds where there is one. Else integers have to be
  equal but for the share that the case allows, and in train mode it depends on
  how far the original in float32 is from itself in float64.

  Args:
    case: of `tests.parity.case`.
    spec: of the fixture.
    output: its name.
    theirs: what the original computed.
  """
  if output in spec.get('tolerance', {}):
    return spec['tolerance'][output]
  if _exact(theirs):
    return case.differing.get(output, 0.0)
  if output.startswith('train_'):
    # The statistics of a batch of few pixels amplify rounding.
    within = getattr(case, 'within_train', 1e-2)
    return max(within, 20 * spec.get('float32_error', {}).get(output, 0.0))
  return getattr(case, 'within', 1e-3)


def error(ours, theirs):
  """Returns how far an output is from the original's.

  Of integers it is the share of values that differ. Else it is the largest
  difference, in standard deviations of the original's; one without spread, such
  as a single number, is compared absolutely. Where the original is not finite,
  ours has to be so too.
  """
  if ours.shape != theirs.shape:
    return np.inf
  if not theirs.size:
    return 0.0
  if _exact(theirs):
    return float(np.mean(ours != theirs))
  finite = np.isfinite(theirs)
  if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True):
    return np.inf
  if not finite.any():
    return 0.0
  ours, theirs = ours[finite], theirs[finite].astype(np.float64)
  largest = np.abs(ours - theirs).max()  # NaN if ours has one.
  return float(largest / (theirs.std() if np.ptp(theirs) else 1.0))


def _exact(array):
  return array.dtype.kind in 'biu'  # Truth values and integers.
