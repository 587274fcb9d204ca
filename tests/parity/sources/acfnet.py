"""ACFNet of zrl4836/ACFNet, and with the equations of the paper."""

from segjax import models
from segjax.convert.rules import conv_norm
from segjax.convert.rules.zrl4836 import acfnet
from tests.parity.case import Case
from tests.parity.case import inside

OUTPUTS = {
    # Before they are enlarged.
    'logits': inside('classifier'),
    'coarse': inside('coarse'),
    'aux_0': inside('aux'),
    'class_feature_first64': inside('context', first=64),
    'aspp_first64': inside('aspp', first=64),
}
PARTS = ('aspp', 'coarse', 'context', 'classifier', 'aux')
# Nobody has weights by these names, so that their rules are here.
PAPER = (
    *conv_norm(r'acfhead\.reduce', 'context/reduce'),
    *conv_norm(r'acfhead\.out', 'context/project'),
)


def build(spec, **fields):
  dropped = ('dropout', 'coarse_dropout', 'center_dropout')
  rates = dict.fromkeys(dropped, 0.0)
  return models.create('acfnet', spec['num_classes'], **rates, **fields)


CASES = {
    'acfnet_paper': Case(
        build, (*PAPER, *acfnet.RULES), OUTPUTS, parts=PARTS, whole=False
    ),
    'acfnet': Case(
        lambda spec: build(
            spec,
            backbone='resnet/101_v1s(output_stride=8, dilate_first=True,'
            ' ceil_pool=True, absolute_scale=True, channel_attention=True)',
            raw_scores=True,
        ),
        acfnet.RULES,
        OUTPUTS,
        parts=PARTS,
        whole=False,
    ),
}
