"""DeepLab-LargeFOV by its authors, with and without MSc: `vgg128_noup`, ...

They see BGR from 0 to 255, minus the mean.
"""

from segjax.convert.rules import under
from segjax.convert.rules.caffe import vgg

# Names of the levels and of the layers of their branches, there and here.
LEVELS = (('data', 'image'), (r'pool(\d)', r'c\1'))
LAYERS = (('conv', 'conv'), ('fc', 'hidden'), ('ms', 'classifier'))

RULES = (
    (r'fc8_\w+', 'classifier'),  # Its name ends with the experiment's.
    *under('', vgg.RULES, 'backbone'),
    *(
        (f'{theirs}_{there}', f'branch_{ours}/{here}')
        for theirs, ours in LEVELS
        for there, here in LAYERS
    ),
)
