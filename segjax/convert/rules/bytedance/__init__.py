"""Modules of https://github.com/bytedance/kmax-deeplab."""


def conv_norm(source, target, layer='conv'):
  """Returns the rules of a `ConvNormAct`; of a `DenseNormAct` for 'dense'."""
  return (
      (rf'{source}\.conv', f'{target}/{layer}'),
      (rf'{source}\.norm', f'{target}/norm'),
  )


def separable(first, second, target):
  """Returns the rules of a `SeparableConvNormAct`."""
  return (
      *conv_norm(first, f'{target}/depthwise'),
      *conv_norm(second, f'{target}/pointwise'),
  )


def block(source, target):
  """Returns the rules of a `Block`."""
  rules = conv_norm(rf'{source}\._shortcut', f'{target}/shortcut')
  for i in (1, 2, 3):
    rules += conv_norm(rf'{source}\._conv{i}_bn(?:_act)?', f'{target}/conv{i}')
  for axis in ('height', 'width'):
    there = rf'{source}\._attention\._{axis}_axis'
    here = f'{target}/attention/{axis}'
    rules += (
        (rf'{there}\.qkv_transform\.conv', f'{here}/qkv'),
        (rf'{there}\._batch_norm_qkv', f'{here}/qkv_norm'),
        (rf'{there}\._batch_norm_similarity', f'{here}/similarity_norm'),
        (rf'{there}\._batch_norm_retrieved_output', f'{here}/output_norm'),
    )
    rules += tuple(
        (rf'{there}\._{x}_rpe\._embeddings\.weight', f'{here}/{x}_position')
        for x in ('query', 'key', 'value')
    )
  return rules


def predictor(source, target):
  """Returns the rules of a `Predictor`."""
  pixel = rf'{source}\._pixel_space_head_'
  return (
      *separable(f'{pixel}conv0bnact', f'{pixel}conv1bnact', f'{target}/pixel'),
      *conv_norm(f'{pixel}last_convbn', f'{target}/pixel_embedding'),
      *conv_norm(
          rf'{source}\._transformer_mask_head',
          f'{target}/mask_embedding',
          'dense',
      ),
      (rf'{source}\._transformer_class_head\.conv', f'{target}/classifier'),
      (rf'{source}\._pixel_space_mask_batch_norm', f'{target}/mask_norm'),
  )


def kmeans_layer(source, target):
  """Returns the rules of a `KMeansLayer`."""
  here = f'{target}/' if target else ''
  rules = (
      *conv_norm(rf'{source}_pixel_conv1_bn_act', f'{here}pixel'),
      *conv_norm(rf'{source}_pixel_v_conv_bn', f'{here}value'),
      (
          rf'{source}_query_self_attention\._batch_norm_similarity',
          f'{here}attention/similarity_norm',
      ),
      (
          rf'{source}_query_self_attention\._batch_norm_retrieved_value',
          f'{here}attention/output_norm',
      ),
      (
          rf'{source}_kmeans_query_batch_norm_retrieved_value',
          f'{here}cluster_norm',
      ),
      *predictor(rf'{source}_predcitor', f'{here}predictor'),
  )
  for there, name in (
      ('query_conv1_bn_act', 'query'),
      ('query_qkv_conv_bn', 'qkv'),
      ('query_conv3_bn', 'attended'),
      ('query_ffn_conv1_bn_act', 'expand'),
      ('query_ffn_conv2_bn', 'reduce'),
      ('kmeans_query_conv3_bn', 'cluster'),
  ):
    rules += conv_norm(rf'{source}_{there}', f'{here}{name}', 'dense')
  return rules


def pixel_decoder(source, target):
  """Returns the rules of a `PixelDecoder`."""
  here = f'{target}/' if target else ''
  rules = ()
  for i, level in enumerate(('c5', 'c4', 'c3', 'c2')):
    rules += ((rf'{source}_in_norms\.{i}', f'{here}norm_{level}'),)
    rules += block(
        rf'{source}_stages\.{i}\._blocks\.(\d+)', rf'{here}{level}_\1'
    )
    if i:
      rules += fuse(rf'{source}_resized_fuses\.{i - 1}', f'{here}fuse_{level}')
  return rules


def fuse(source, target):
  """Returns the rules of a `Fuse`."""
  return (
      *conv_norm(rf'{source}\._conv_bn_low', f'{target}/low'),
      *conv_norm(rf'{source}\._conv_bn_high', f'{target}/high'),
  )
