"""CaffeNet as released with Caffe, `bvlc_reference_caffenet`."""

RULES = (
    (r'(conv\d)', r'\1'),
    (r'(fc6|fc7)', r'hidden/\1'),
    (r'fc8', 'classifier'),
)
