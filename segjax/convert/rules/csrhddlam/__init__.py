"""Modules of https://github.com/csrhddlam/axial-deeplab."""

import numpy as np

from segjax.convert.joints import Joint
from segjax.convert.joints import one
from segjax.convert.joints import regrouped

HEADS = 8


def attention(source, target):
  """Returns the rules of an `AxialAttention`; `JOINTS` belong to them."""
  return (
      (rf'{source}\.qkv_transform', f'{target}/qkv'),
      (rf'{source}\.bn_qkv', f'{target}/qkv_norm'),
      (rf'{source}\.bn_similarity', f'{target}/similarity_norm'),
      (rf'{source}\.bn_output', f'{target}/output_norm'),
      (rf'{source}\.relative', f'{target}/relative'),
      (rf'{source}\.flatten_index', None),
  )


def _order(number):
  """Returns where each channel of queries, keys and values is there.

  There each head has its queries, keys and values side by side; here all
  queries come before all keys, and these before all values.
  """
  places = np.arange(number).reshape(HEADS, 4, -1)
  parts = places[:, :1], places[:, 1:2], places[:, 2:]
  return np.concatenate([part.ravel() for part in parts])


def _apart(value):
  return value[..., _order(value.shape[-1])]


def _together(value):
  return value[..., np.argsort(_order(value.shape[-1]))]


def _tables(relative):
  """Returns tables of positions, row by row from the most negative distance.

  Distances are those from a query to a key; the columns for queries and values
  there count from the key to the query.
  """
  depth = len(relative) // 4
  query, key, value = np.split(relative, (depth, 2 * depth))
  return query.T[::-1], key.T, value.T[::-1]


def _relative(query, key, value):
  return (np.concatenate([query[::-1].T, key.T, value[::-1].T]),)


JOINTS = (
    Joint(
        '.*',
        ('relative',),
        ('query_position', 'key_position', 'value_position'),
        _tables,
        _relative,
    ),
    one('.*', 'qkv/kernel', _apart, _together),
    *(
        one('.*', f'qkv_norm/{variable}', _apart, _together)
        for variable in ('scale', 'bias', 'mean', 'var')
    ),
    # What is read by content and by position lies side by side there.
    *(
        regrouped('.*', f'output_norm/{variable}', (-1, 2), (1, 0), axis=-1)
        for variable in ('scale', 'bias', 'mean', 'var')
    ),
)


def block(source, target):
  """Returns the rules of an axial `Block`; `JOINTS` belong to them."""
  return (
      (rf'{source}\.conv_down', f'{target}/conv1/conv'),
      (rf'{source}\.bn1', f'{target}/conv1/norm'),
      *attention(rf'{source}\.hight_block', f'{target}/attention/height'),
      *attention(rf'{source}\.width_block', f'{target}/attention/width'),
      (rf'{source}\.conv_up', f'{target}/conv3/conv'),
      (rf'{source}\.bn2', f'{target}/conv3/norm'),
      (rf'{source}\.downsample\.0', f'{target}/shortcut/conv'),
      (rf'{source}\.downsample\.1', f'{target}/shortcut/norm'),
  )
