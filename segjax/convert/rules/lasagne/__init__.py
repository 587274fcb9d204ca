"""Lasagne, by the authors of each system, as numbered arrays.

A `.npz` file has `arr_0`, `arr_1` and so on: the parameters of one layer after
another, from the image to the scores. A norm has shift, scale, mean and inverse
standard deviation. Lasagne adds 1e-4 to variances.
"""

CONV = ('kernel', 'bias')
NORM = ('bias', 'scale', 'mean', 'inv_std')


def numbered(layers):
  """Returns the rules of arrays by their numbers.

  Args:
    layers: pairs of the path of a layer here and the names of its variables, in
      the order of the file.
  """
  paths = [f'{path}/{name}' for path, names in layers for name in names]
  return tuple((f'arr_{number}', path) for number, path in enumerate(paths))
