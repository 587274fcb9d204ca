"""GCN from pytorch-segmentation, without deconvolutions.

Fields: `kernel=11, last_conv=True` on 'resnet/50' and others. Levels are
numbered from the finest there, and sums from the coarsest. The norms of
refinements are in files and not in use; they are dropped.
"""

from segjax.convert.rules.yassouali import resnet_rules

REFINED = (
    *('c2', 'c3', 'c4', 'c5'),
    *('sum_c4', 'sum_c3', 'sum_c2', 'sum_c1', 'sum_image'),
)

RULES = (
    *resnet_rules('backbone', 'initial'),
    *(
        (rf'gcn{level - 1}\.conv{side}([12])', rf'score_c{level}/{name}\1')
        for level in (2, 3, 4, 5)
        for side, name in ((1, 'left'), (2, 'right'))
    ),
    (r'br\d\.bn[12]', None),
    *(
        (rf'br{i}\.conv([12])', rf'refine_{name}/conv\1')
        for i, name in enumerate(REFINED, 1)
    ),
    ('final_conv', 'last'),
)
