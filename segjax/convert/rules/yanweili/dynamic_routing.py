"""Dynamic routing from its authors, `Seg.Layer16` and others.

Networks with a budget have `small_gate=True`.
"""


def cell(source, target):
  """Returns the rules of a part of all cells."""
  return (
      (rf'backbone\.init_layer\.{source}', f'first/{target}'),
      (
          rf'backbone\.all_cell_list\.(\d+)\.(\d+)\.{source}',
          rf'layer\1_\2/{target}',
      ),
  )


def convs(source, target, rules=lambda *names: (names,)):
  """Returns the rules of a convolution whose norm is a part of it there."""
  return (
      *rules(source, f'{target}/conv'),
      *rules(rf'{source}\.norm', f'{target}/norm'),
  )


RULES = (
    *convs(r'backbone\.stem\.stem_1', 'stem1'),
    (r'backbone\.stem\.stem_(\d)\.0', r'stem\1_in'),
    *convs(r'backbone\.stem\.stem_(\d)\.1', r'stem\1'),
    *cell(r'cell_ops\._ops\.0\.op\.0', 'convs/depthwise1'),
    *convs(r'cell_ops\._ops\.0\.op\.1', 'convs/pointwise1', cell),
    *cell(r'cell_ops\._ops\.0\.op\.2', 'convs/depthwise2'),
    *convs(r'cell_ops\._ops\.0\.op\.3', 'convs/pointwise2', cell),
    *convs(r'res_up\.1', 'up', cell),
    *convs(r'res_down\.1', 'down', cell),
    *convs(r'gate_conv_beta\.0', 'gate/reduce', cell),
    *cell(r'gate_conv_beta\.2', 'gate/score'),
    *convs(r'sem_seg_head\.layer_decoder_list\.(\d)', r'decode\1'),
    (r'sem_seg_head\.predictor', 'classifier'),
)
