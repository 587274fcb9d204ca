"""FCN-8s from pytorch-segmentation, `FCN8`.

Fields: `scales=(0.01, 0.0001)`. Its upsampling is not trained.
"""

RULES = (
    *(
        (rf'pool{part}\.{number}', f'backbone/conv{name}/conv')
        for part, number, name in (
            *((3, 0, '1_1'), (3, 2, '1_2'), (3, 5, '2_1'), (3, 7, '2_2')),
            *((3, 10, '3_1'), (3, 12, '3_2'), (3, 14, '3_3')),
            *((4, 0, '4_1'), (4, 2, '4_2'), (4, 4, '4_3')),
            *((5, 0, '5_1'), (5, 2, '5_2'), (5, 4, '5_3')),
        )
    ),
    (r'output\.0', 'backbone/fc6/conv'),
    (r'output\.3', 'backbone/fc7/conv'),
    (r'output\.6', 'head/score_fc7'),
    ('adj_pool4', 'head/score_c4'),
    ('adj_pool3', 'head/score_c3'),
    ('up_output', 'head/upsample_fc7'),
    ('up_pool4_out', 'head/upsample_c4'),
    ('up_final', 'head/upsample'),
)
