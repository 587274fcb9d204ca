"""The rate of large matrix products, taken as the peak of a device."""

import time

SIDES = (1024, 2048, 4096, 8192, 16384)
# Seconds of a product above which no larger one is tried.
LONG = 0.1
REPEATS = 5


def fastest(product):
  """Returns the highest rate of products of square matrices, in FLOP/s.

  Args:
    product: `product(side)` returns a function that multiplies two matrices
      of that side and waits for the result.
  """
  best = 0.0
  for side in SIDES:
    multiply = product(side)
    multiply()  # The first call compiles and warms up.
    seconds = []
    for _ in range(REPEATS):
      start = time.perf_counter()
      multiply()
      seconds.append(time.perf_counter() - start)
    best = max(best, 2 * side**3 / min(seconds))
    if min(seconds) > LONG:
      break
  return best
