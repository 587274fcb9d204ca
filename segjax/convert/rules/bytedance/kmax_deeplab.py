"""kMaX-DeepLab of bytedance, for COCO on ResNet-50."""

from segjax.convert.joints import transposed
from segjax.convert.rules import bytedance as parts
from segjax.convert.rules import detectron2

_HEAD = r'(?:sem_seg_head\.)?'
_SEMANTIC = rf'{_HEAD}predictor\._auxiliary_semantic_predictor'
_ASPP = rf'{_SEMANTIC}\._aspp'

RULES = (
    *detectron2.conv_norm(r'backbone\.stem\.conv1', 'backbone/stem'),
    *(
        rule
        for stage in range(1, 5)
        for rule in detectron2.conv_norm(
            rf'backbone\.res{stage + 1}\.(\d+)\.(conv\d|shortcut)',
            rf'backbone/stage{stage}_\1/\2',
        )
    ),
    *parts.pixel_decoder(rf'{_HEAD}pixel_decoder\.', 'pixel_decoder'),
    *parts.kmeans_layer(
        rf'{_HEAD}predictor\._kmax_transformer_layers\.(\d)\.', r'layer\1'
    ),
    (rf'{_HEAD}predictor\._cluster_centers\.weight', 'queries'),
    transposed('', 'queries', (1, 0)),
    *parts.conv_norm(
        rf'{_HEAD}predictor\._(class|mask)_embedding_projection',
        r'\1_queries',
        'dense',
    ),
    *parts.predictor(rf'{_HEAD}predictor\._predcitor', 'predictor'),
    *parts.conv_norm(rf'{_ASPP}\._aspp_conv0', 'semantic/decoder/aspp/point'),
    *parts.conv_norm(
        rf'{_ASPP}\._aspp_conv([123])', r'semantic/decoder/aspp/atrous\1'
    ),
    *parts.conv_norm(rf'{_ASPP}\._aspp_pool', 'semantic/decoder/aspp/image'),
    *parts.conv_norm(
        rf'{_ASPP}\._proj_conv_bn_act', 'semantic/decoder/aspp/project'
    ),
    *(
        rule
        for stride, level in ((8, 'c3'), (4, 'c2'))
        for rule in (
            *parts.conv_norm(
                rf'{_SEMANTIC}\._low_level_projection_os{stride}',
                f'semantic/decoder/low_{level}',
            ),
            *parts.separable(
                rf'{_SEMANTIC}\._low_level_fusion_os{stride}_conv0_bn_act',
                rf'{_SEMANTIC}\._low_level_fusion_os{stride}_conv1_bn_act',
                f'semantic/decoder/fuse_{level}',
            ),
        )
    ),
    *parts.separable(
        rf'{_SEMANTIC}\.conv_block_0',
        rf'{_SEMANTIC}\.conv_block_1',
        'semantic/refine',
    ),
    (rf'{_SEMANTIC}\.final_conv\.conv', 'semantic/classifier'),
)
