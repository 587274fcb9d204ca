"""ResNet-38, Model A1, for ImageNet: `rna_model_a1`."""

# Names of the units of a level and of their convolutions, there and here.
UNITS = (('a', '0'), (r'b(\d)', r'\2'))
BRANCHES = (('branch2a', '1'), ('branch2b1', '2'), ('branch2b2', '3'))

RULES = (
    ('conv1a', 'stem'),
    *(
        (rf'{kind}(\d){unit}_{branch}', rf'level\1_{index}/{name}{number}')
        for unit, index in UNITS
        for branch, number in BRANCHES
        for kind, name in (('bn', 'norm'), ('res', 'conv'))
    ),
    (r'res(\d)a_branch1', r'level\1_0/shortcut'),
    ('bn7', 'norm'),
    (r'linear\d+', 'classifier'),
)
