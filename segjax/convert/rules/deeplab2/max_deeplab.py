"""MaX-DeepLab-S from DeepLab2.

Its classes are those of things first and then those of stuff, whatever their
order in the data set.
"""

from segjax.convert.rules import deeplab2
from segjax.convert.rules import under
from segjax.convert.rules.deeplab2 import axial_resnet


def _dense(source, target):
  """Returns the rules of a `DenseNormAct`."""
  return (
      (f'{source}/conv', f'{target}/dense'),
      (f'{source}/batch_norm', f'{target}/norm'),
  )


def _path(source, target):
  """Returns the rules of a `DualPath`."""
  rules = ()
  for there, here in (
      ('memory_conv1_bn_act', 'memory'),
      ('pixel_conv1_bn_act', 'pixel'),
      ('memory_qkv_conv_bn', 'memory_qkv'),
      ('pixel_qkv_conv_bn', 'pixel_qkv'),
      ('memory_conv3_bn', 'attended'),
      ('memory_ffn_conv1_bn_act', 'expand'),
      ('memory_ffn_conv2_bn', 'reduce'),
      ('pixel_conv3_bn', 'shown'),
  ):
    rules += _dense(f'{source}/{there}', f'{target}/{here}')
  for name in ('memory', 'pixel'):
    rules += (
        (
            f'{source}/{name}_attention/batch_norm_similarity',
            f'{target}/{name}_attention/similarity_norm',
        ),
        (
            f'{source}/{name}_attention/batch_norm_retrieved_value',
            f'{target}/{name}_attention/output_norm',
        ),
    )
  return rules


_HEAD = 'MaXDeepLab'

RULES = (
    ('[^/]+/memory_feature', 'memory'),
    *(
        rule
        for i in range(3)
        for rule in _path(f'[^/]+/stage5/block{i + 1}_transformer', f'path{i}')
    ),
    *_path('[^/]+/stage5_extra/block1_transformer', 'path_extra'),
    *deeplab2.block('[^/]+/stage5_extra/block1', 'extra'),
    *(
        rule
        for i, level in enumerate(('c3', 'c2'), 1)
        for rule in (
            *deeplab2.conv_norm(
                f'[^/]+/decoder_stage{i}_extra_resized_fuse/resized_conv_bn1',
                f'fuse_{level}/low',
            ),
            *deeplab2.block(
                f'[^/]+/decoder_stage{i}_extra/block1', f'refine_{level}'
            ),
        )
    ),
    *_dense('[^/]+/class_feature_extra', 'class_slots'),
    *_dense('[^/]+/mask_feature_extra', 'mask_slots'),
    *deeplab2.head(
        f'{_HEAD}/pixel_space_head',
        'predictor/pixel',
        'predictor/pixel_embedding/conv',
    ),
    (
        f'{_HEAD}/pixel_space_feature_batch_norm',
        'predictor/pixel_embedding/norm',
    ),
    *_dense(f'{_HEAD}/transformer_mask_head', 'predictor/mask_embedding'),
    (f'{_HEAD}/transformer_class_head/conv', 'predictor/classifier'),
    (f'{_HEAD}/pixel_space_mask_batch_norm', 'predictor/mask_norm'),
    *deeplab2.decoder(f'{_HEAD}/auxiliary_semantic_decoder', 'semantic'),
    *deeplab2.head(
        f'{_HEAD}/auxiliary_semantic_head', 'semantic_head', 'classifier'
    ),
    # The name of a backbone lies beside those of the heads.
    *under('', axial_resnet.RULES, 'backbone'),
)
