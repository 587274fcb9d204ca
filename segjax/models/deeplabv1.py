"""DeepLabv1, https://arxiv.org/abs/1412.7062.

The last two pools of VGG have stride 1 and the convolutions after them dilate,
so that scores have stride 8. The default is the paper's LargeFOV, whose fc6 has
a large field of view with few weights; its other fields of view are `kernel=7,
rate=4`, `kernel=4, rate=4` and `kernel=4, rate=8`, with `hidden=4096`.
`multi_scale=True` is the paper's MSc, which adds scores of the image and of the
first four pools. The authors train with every 8th label; here scores are
enlarged to the size of the image, and all labels count. The dense CRF is
applied at prediction, by `config.predict.refine`. LargeFOV was checked against
a network built from the authors' prototxt file; for the other fields of view
and for MSc there was no such file.
"""

from flax import linen as nn

from segjax import backbones
from segjax.backbones import vgg
from segjax.layers.conv import Conv
from segjax.layers.head import classifier
from segjax.ops.upsample_aligned import upsample_aligned

# Inputs of MSc's branches: the factor between their stride and stride 8.
SCALES = {'image': 8, 'c1': 4, 'c2': 2, 'c3': 1, 'c4': 1}


class Model(nn.Module):
  """Dilated VGG, a classifier, and with MSc a branch for each earlier level."""

  num_classes: int
  backbone: str = 'vgg/16'
  hidden: int = 1024  # Features of fc6 and fc7.
  kernel: int = 3  # Rows and columns of the kernel of fc6.
  rate: int = 12  # Dilation of fc6.
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
  """Computes scores of an early level by two convolutions and a classifier.

  In training the first convolution strides, so that scores have stride 8 with
  respect to the image. In evaluation they have the stride of the level.
  """

  num_classes: int
  stride: int  # 8 divided by the stride of the level.
  dropout: float

  @nn.compact
  def __call__(self, x, train):
    small = nn.initializers.normal(
        0.001
    )  # Branches contribute little at first.
    stride = self.stride if train else 1
    for name, fields in (
        ('conv', dict(kernel_size=(3, 3), strides=stride, padding=1)),
        ('hidden', dict(kernel_size=(1, 1))),
    ):
      x = nn.relu(Conv(128, kernel_init=small, name=name, **fields)(x))
      x = nn.Dropout(self.dropout)(x, deterministic=not train)
    return classifier(self.num_classes)(x)
