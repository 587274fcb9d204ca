"""DeepLab, the first, https://arxiv.org/abs/1412.7062.

The last two pools of VGG lose their stride and what follows gets holes
instead, so that scores lie 8 pixels apart. The default is LargeFOV, whose fc6
sees far with few weights; the paper's other fields of view are `kernel=7,
rate=4`, `kernel=4, rate=4` and `kernel=4, rate=8`, with `hidden=4096`.
`multi_scale=True` adds scores of the image and of the first four pools, its
MSc. The authors' networks are trained with labels every 8 pixels; here scores
are enlarged to those of all pixels. A dense CRF, if any, comes at prediction.
LargeFOV was checked against a network built of the authors' prototxt file; of
the others, and of MSc, there was none.
"""

from flax import linen as nn

from segjax import backbones
from segjax.backbones import vgg
from segjax.layers.conv import Conv
from segjax.layers.head import classifier
from segjax.ops.upsample_aligned import upsample_aligned

# What has a branch of its own, and its distance from stride 8.
SCALES = {'image': 8, 'c1': 4, 'c2': 2, 'c3': 1, 'c4': 1}


class Model(nn.Module):
  """VGG with holes, a classifier, and branches from earlier levels."""

  num_classes: int
  backbone: str = 'vgg/16'
  hidden: int = 1024  # Features of fc6 and fc7.
  kernel: int = 3  # Of fc6.
  rate: int = 12
  multi_scale: bool = False
  dropout: float = 0.5

  @nn.compact
  def __call__(self, image, *, train=False):
    fc6 = dict(kernel=self.kernel, dilation=self.rate)
    early = [level for level in SCALES if level != 'image']
    feats = backbones.build(
        self.backbone,
        ('fc7', *early),
        **{**vgg.LARGE_FOV, 'fc6': fc6},
        hidden=self.hidden,
        dropout=self.dropout,
        name='backbone',
    )(image, train)
    size = image.shape[1:3]
    logits = upsample_aligned(
        classifier(self.num_classes)(feats['fc7']), 8, size
    )
    if self.multi_scale:
      feats['image'] = image
      for level, stride in SCALES.items():
        branch = Branch(
            self.num_classes, stride, self.dropout, name=f'branch_{level}'
        )
        scores = branch(feats[level], train)
        logits += upsample_aligned(scores, 8 if train else 8 // stride, size)
    return {'logits': logits, 'aux': {}}


class Branch(nn.Module):
  """Two convolutions and a classifier of an early level.

  In training it has the stride that makes scores lie 8 pixels apart.
  """

  num_classes: int
  stride: int
  dropout: float

  @nn.compact
  def __call__(self, x, train):
    small = nn.initializers.normal(0.001)  # A branch begins with no say.
    stride = self.stride if train else 1
    for name, fields in (
        ('conv', dict(kernel_size=(3, 3), strides=stride, padding=1)),
        ('hidden', dict(kernel_size=(1, 1))),
    ):
      x = nn.relu(Conv(128, kernel_init=small, name=name, **fields)(x))
      x = nn.Dropout(self.dropout)(x, deterministic=not train)
    return classifier(self.num_classes)(x)
