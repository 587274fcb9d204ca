"""Light-Weight RefineNet, https://arxiv.org/abs/1810.03272.

RefineNet whose decoder has 1x1 convolutions in place of 3x3 ones and no
residual units: what is left are projections, sums and chained residual pooling,
without norms. As the author builds it (DrSleep/light-weight-refinenet), and
checked against it. On MobileNetV2 he reads two more levels, which has `mobile`;
its fields are `mobile=True, top_features=256, dropout=0.0` on
'mobilenet/v2_drsleep'. His code leaves scores at stride 4; here they are
enlarged.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.conv import conv
from segjax.layers.residual_pooling import ChainedResidualPooling
from segjax.layers.residual_pooling import small_uniform
from segjax.ops.resize import resize


class Model(nn.Module):
  """Backbone, four sums of levels with pooling, one 3x3 convolution."""

  num_classes: int
  backbone: str = 'resnet/50'
  features: int = 256
  top_features: int = 512  # Of the coarsest level.
  dropout: float = 0.5  # On the two coarsest levels.
  # Decoder on a MobileNet: reads the levels 'c5_inner' and 'c4_inner' too, has
  # ReLU6, and projects each level once.
  mobile: bool = False

  @nn.compact
  def __call__(self, image, *, train=False):
    levels = {level: (level,) for level in ('c5', 'c4', 'c3', 'c2')}
    if self.mobile:
      levels |= {level: (f'{level}_inner', level) for level in ('c5', 'c4')}
    reads = [name for names in levels.values() for name in names]
    feats = backbones.build(self.backbone, reads, name='backbone')(image, train)
    dropout = nn.Dropout(self.dropout, deterministic=not train)
    act = nn.relu6 if self.mobile else nn.relu

    def project(x, features, name):
      return conv(features, 1, init=small_uniform, name=name)(x)

    x = None
    for level, names in levels.items():
      features = self.top_features if level == 'c5' else self.features
      total = 0
      for name in names:
        skip = dropout(feats[name]) if level in ('c5', 'c4') else feats[name]
        total += project(skip, features, f'reduce_{name}')
      if x is not None:
        if not self.mobile:
          total = project(total, features, f'skip_{level}')
        x = project(x, features, f'narrow_{level}')
        total += resize(x, total.shape[1:3], align_corners=True)
      x = ChainedResidualPooling(kernel=1, name=f'pool_{level}')(act(total))
    x = conv(
        self.num_classes, bias=True, init=small_uniform, name='classifier'
    )(x)
    logits = resize(x, image.shape[1:3], align_corners=True)
    return {'logits': logits, 'aux': {}}
