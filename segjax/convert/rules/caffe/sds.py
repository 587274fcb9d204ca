"""SDS, https://github.com/bharath272/sds_eccv2014, by the names of network C.

What liblinear learnt lies beside the network there, in files of MATLAB; in one
file with it, by names of ours: `svm.weight` [K - 1, 8192], `refiner.weight`
[categories * 100, 8292], and `membership` [K - 1, 3], factors of the
coarse mask and the region, and a constant.
"""

from segjax.convert.rules import under

NETWORK = (
    (r'(conv\d)_1', r'box/\1'),
    (r'(fc\d)_1', r'box/hidden/\1'),
    (r'(conv\d)_2', r'region/\1'),
    (r'(fc\d)_2', r'region/hidden/\1'),
    (r'fc8_pascal', 'classifier'),
    (r'svm', 'svm'),
    (r'refiner', 'refiner'),
)

RULES = (
    ('membership', 'membership/embedding'),
    *under('', NETWORK, 'network'),
)
