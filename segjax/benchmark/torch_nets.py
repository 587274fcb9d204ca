"""Networks in PyTorch: from torchvision, timm and smp, and some of our own.

Each function returns a module from an image [B, 3, H, W] to
{'out': logits [B, K, H, W]}, with 'aux' for the logits of an auxiliary head.
"""

import itertools

import timm
import torch
from torch import nn
from torch.nn import functional
import torchvision
from torchvision.models import segmentation


def deeplabv3_resnet50(classes):
  """torchvision's DeepLabv3, output stride 8."""
  return segmentation.deeplabv3_resnet50(
      weights=None,
      weights_backbone=None,
      num_classes=classes,
      aux_loss=True,
  )


def deeplabv3_resnet101(classes):
  """torchvision's DeepLabv3, output stride 8."""
  return segmentation.deeplabv3_resnet101(
      weights=None,
      weights_backbone=None,
      num_classes=classes,
      aux_loss=True,
  )


def fcn_resnet50(classes):
  """torchvision's FCN, output stride 8."""
  return segmentation.fcn_resnet50(
      weights=None,
      weights_backbone=None,
      num_classes=classes,
      aux_loss=True,
  )


def lraspp_mobilenet(classes):
  """torchvision's LR-ASPP on MobileNetV3."""
  return segmentation.lraspp_mobilenet_v3_large(
      weights=None, weights_backbone=None, num_classes=classes
  )


def deeplabv3plus_mobilenet(classes):
  """DeepLabv3+ on timm's MobileNetV2, output stride 16."""
  return DeepLabV3Plus(
      timm.create_model(
          'mobilenetv2_100', features_only=True, output_stride=16
      ),
      low=24,
      deep=320,
      classes=classes,
  )


def smp_deeplabv3plus(classes):
  """DeepLabv3+ of segmentation_models_pytorch on MobileNetV2."""
  import segmentation_models_pytorch as smp

  return Output(
      smp.DeepLabV3Plus(
          'mobilenet_v2',
          encoder_weights=None,
          encoder_output_stride=16,
          classes=classes,
      )
  )


def smp_unet(classes):
  """U-Net of segmentation_models_pytorch on a ResNet-18."""
  import segmentation_models_pytorch as smp

  return Output(smp.Unet('resnet18', encoder_weights=None, classes=classes))


def hrnet_w18(classes):
  """HRNet-W18: timm's branches with the head of the authors' code."""
  branches = timm.create_model(
      'hrnet_w18',
      features_only=True,
      feature_location='',
      out_indices=(1, 2, 3, 4),
  )
  return HRNet(branches, classes)


def pspnet(classes):
  """PSPNet on torchvision's ResNet-50, output stride 8."""
  return PSPNet(resnet50(dilate=(False, True, True)), classes)


def unet(classes):
  """U-Net with padded convolutions and batch norm."""
  return UNet(classes)


def upernet(classes):
  """UPerNet on torchvision's ResNet-50."""
  return UPerNet(resnet50(), classes)


def segformer(classes):
  """SegFormer-B0 of segmentation_models_pytorch."""
  import segmentation_models_pytorch as smp

  return Output(
      smp.Segformer(
          'mit_b0',
          encoder_weights=None,
          decoder_segmentation_channels=256,
          classes=classes,
      )
  )


def fast_scnn(classes):
  """Fast-SCNN without auxiliary heads."""
  return FastSCNN(classes)


def erfnet(classes):
  """ERFNet with a 3x3 convolution before its classifier."""
  return ERFNet(classes)


def resnet50(dilate=(False, False, False)):
  """Returns torchvision's ResNet-50 as a module that outputs four stages."""
  return torchvision.models._utils.IntermediateLayerGetter(
      torchvision.models.resnet50(replace_stride_with_dilation=list(dilate)),
      {f'layer{i}': f'c{i + 1}' for i in (1, 2, 3, 4)},
  )


def conv_norm_act(
    inputs,
    outputs,
    kernel=3,
    *,
    stride=1,
    dilation=1,
    groups=1,
    bias=False,
    act=True,
):
  """Returns a padded convolution, batch norm and, with `act`, ReLU."""
  return nn.Sequential(
      nn.Conv2d(
          inputs,
          outputs,
          kernel,
          stride,
          padding=dilation * (kernel - 1) // 2,
          dilation=dilation,
          groups=groups,
          bias=bias,
      ),
      nn.BatchNorm2d(outputs),
      nn.ReLU(inplace=True) if act else nn.Identity(),
  )


def separable(inputs, outputs, *, dilation=1):
  """Returns a depthwise and a pointwise convolution, with norms and ReLUs."""
  return nn.Sequential(
      conv_norm_act(inputs, inputs, dilation=dilation, groups=inputs),
      conv_norm_act(inputs, outputs, 1),
  )


def fcn_head(inputs, features, classes):
  """Returns a head: 3x3 convolution, dropout, classifier."""
  return nn.Sequential(
      conv_norm_act(inputs, features),
      nn.Dropout(0.1),
      nn.Conv2d(features, classes, 1),
  )


def enlarge(x, size, align_corners=False):
  """Resizes [B, C, h, w] bilinearly."""
  return functional.interpolate(
      x, size, mode='bilinear', align_corners=align_corners
  )


class Output(nn.Module):
  """Wraps a module to return its logits as {'out': logits}."""

  def __init__(self, module):
    super().__init__()
    self.module = module

  def forward(self, image):
    return {'out': self.module(image)}


class PyramidPooling(nn.Module):
  """Pyramid pooling: means over 1x1 to 6x6 cells are projected and appended."""

  def __init__(self, inputs, features):
    super().__init__()
    self.levels = nn.ModuleList(
        nn.Sequential(
            nn.AdaptiveAvgPool2d(bins), conv_norm_act(inputs, features, 1)
        )
        for bins in (1, 2, 3, 6)
    )

  def forward(self, x):
    size = x.shape[2:]
    means = [enlarge(level(x), size) for level in self.levels]
    return torch.cat([x, *means], 1)


class DeepLabV3Plus(nn.Module):
  """DeepLabv3+: ASPP and a decoder of two convolutions, all separable."""

  def __init__(self, backbone, low, deep, classes):
    super().__init__()
    self.backbone = backbone
    self.image = conv_norm_act(deep, 256, 1)
    self.point = conv_norm_act(deep, 256, 1)
    self.atrous = nn.ModuleList(
        separable(deep, 256, dilation=rate) for rate in (6, 12, 18)
    )
    self.project = conv_norm_act(5 * 256, 256, 1)
    self.low = conv_norm_act(low, 48, 1)
    self.refine = nn.Sequential(separable(256 + 48, 256), separable(256, 256))
    self.classifier = nn.Conv2d(256, classes, 1)

  def forward(self, image):
    feats = self.backbone(image)
    low, x = feats[1], feats[-1]
    mean = self.image(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
    branches = [mean, self.point(x), *(conv(x) for conv in self.atrous)]
    x = self.project(torch.cat(branches, 1))
    x = functional.dropout(x, 0.1, self.training)
    low = self.low(low)
    x = enlarge(x, low.shape[2:], align_corners=True)
    x = self.classifier(self.refine(torch.cat([x, low], 1)))
    return {'out': enlarge(x, image.shape[2:], align_corners=True)}


class HRNet(nn.Module):
  """HRNet: a 1x1 convolution over all branches."""

  def __init__(self, branches, classes):
    super().__init__()
    self.branches = branches
    features = sum(branches.feature_info.channels())
    self.head = nn.Sequential(
        conv_norm_act(features, features, 1, bias=True),
        nn.Conv2d(features, classes, 1),
    )

  def forward(self, image):
    feats = self.branches(image)
    size = feats[0].shape[2:]
    x = torch.cat([feats[0], *(enlarge(x, size) for x in feats[1:])], 1)
    return {'out': enlarge(self.head(x), image.shape[2:])}


class PSPNet(nn.Module):
  """PSPNet: pyramid pooling, a 3x3 convolution, auxiliary head on stage 4."""

  def __init__(self, backbone, classes):
    super().__init__()
    self.backbone = backbone
    self.pool = PyramidPooling(2048, 512)
    self.head = fcn_head(4096, 512, classes)
    self.aux = fcn_head(1024, 256, classes)

  def forward(self, image):
    feats, size = self.backbone(image), image.shape[2:]
    out = {'out': enlarge(self.head(self.pool(feats['c5'])), size)}
    if self.training:
      out['aux'] = enlarge(self.aux(feats['c4']), size)
    return out


class UPerNet(nn.Module):
  """UPerNet: pyramid pooling, a feature pyramid, and fusion at stride 4."""

  def __init__(self, backbone, classes, features=512):
    super().__init__()
    self.backbone = backbone
    self.pool = PyramidPooling(2048, features)
    self.top = conv_norm_act(2048 + 4 * features, features)
    self.lateral = nn.ModuleList(
        conv_norm_act(inputs, features, 1) for inputs in (256, 512, 1024)
    )
    self.output = nn.ModuleList(
        conv_norm_act(features, features) for _ in range(3)
    )
    self.head = fcn_head(4 * features, features, classes)
    self.aux = fcn_head(1024, 256, classes)

  def forward(self, image):
    feats, size = self.backbone(image), image.shape[2:]
    above = top = self.top(self.pool(feats['c5']))
    pyramid = [top]
    for i in (2, 1, 0):
      x = self.lateral[i](feats[f'c{i + 2}'])
      above = x + enlarge(above, x.shape[2:])
      pyramid.insert(0, self.output[i](above))
    finest = pyramid[0].shape[2:]
    x = torch.cat([enlarge(level, finest) for level in pyramid], 1)
    out = {'out': enlarge(self.head(x), size)}
    if self.training:
      out['aux'] = enlarge(self.aux(feats['c4']), size)
    return out


class UNet(nn.Module):
  """U-Net: four poolings, four upsamplings, and a skip at each level."""

  def __init__(self, classes, width=64):
    super().__init__()
    widths = [width * 2**level for level in range(5)]
    self.down = nn.ModuleList(
        self._double(inputs, outputs)
        for inputs, outputs in itertools.pairwise((3, *widths))
    )
    self.up = nn.ModuleList(
        conv_norm_act(2 * outputs, outputs, 1) for outputs in widths[:-1]
    )
    self.convs = nn.ModuleList(
        self._double(2 * outputs, outputs) for outputs in widths[:-1]
    )
    self.head = fcn_head(width, width, classes)
    self.aux = fcn_head(2 * width, width, classes)

  @staticmethod
  def _double(inputs, outputs):
    return nn.Sequential(
        conv_norm_act(inputs, outputs), conv_norm_act(outputs, outputs)
    )

  def forward(self, image):
    x, skips, feats, size = image, [], {}, image.shape[2:]
    for level, down in enumerate(self.down):
      x = down(functional.max_pool2d(x, 2) if level else x)
      skips.append(x)
    for level in (3, 2, 1, 0):
      skip = skips[level]
      x = self.up[level](enlarge(x, skip.shape[2:]))
      x = self.convs[level](torch.cat([skip, x], 1))
      feats[level] = x
    out = {'out': self.head(x)}
    if self.training:
      out['aux'] = enlarge(self.aux(feats[1]), size)
    return out


class InvertedResidual(nn.Module):
  """Widens, convolves each channel, and narrows, around a shortcut."""

  def __init__(self, inputs, outputs, stride):
    super().__init__()
    width = 6 * inputs
    self.residual = stride == 1 and inputs == outputs
    self.layers = nn.Sequential(
        conv_norm_act(inputs, width, 1),
        conv_norm_act(width, width, stride=stride, groups=width),
        conv_norm_act(width, outputs, 1, act=False),
    )

  def forward(self, x):
    y = self.layers(x)
    return x + y if self.residual else y


class FastSCNN(nn.Module):
  """Fast-SCNN: a shared stem, a deep branch, and their sum."""

  def __init__(self, classes):
    super().__init__()
    self.stem = nn.Sequential(
        conv_norm_act(3, 32, stride=2),
        self._separable(32, 48, stride=2),
        self._separable(48, 64, stride=2),
    )
    blocks, inputs = [], 64
    for outputs, first in ((64, 2), (96, 2), (128, 1)):
      for stride in (first, 1, 1):
        blocks.append(InvertedResidual(inputs, outputs, stride))
        inputs = outputs
    self.deep = nn.Sequential(
        *blocks, PyramidPooling(128, 32), conv_norm_act(256, 128)
    )
    self.low = nn.Sequential(
        conv_norm_act(128, 128, groups=128),
        conv_norm_act(128, 128, 1, act=False),
    )
    self.high = conv_norm_act(64, 128, 1, act=False)
    self.head = nn.Sequential(
        self._separable(128, 128),
        self._separable(128, 128),
        nn.Dropout(0.1),
        nn.Conv2d(128, classes, 1),
    )

  @staticmethod
  def _separable(inputs, outputs, stride=1):
    return nn.Sequential(
        conv_norm_act(inputs, inputs, stride=stride, groups=inputs, act=False),
        conv_norm_act(inputs, outputs, 1),
    )

  def forward(self, image):
    fine = self.stem(image)
    deep = enlarge(self.deep(fine), fine.shape[2:])
    x = functional.relu(self.low(deep) + self.high(fine))
    return {'out': enlarge(self.head(x), image.shape[2:])}


class FactorisedBlock(nn.Module):
  """Two 3x3 convolutions as columns and rows, around a shortcut."""

  def __init__(self, width, dilation=1, dropout=0.0):
    super().__init__()
    self.first, self.second = (
        nn.Sequential(
            nn.Conv2d(width, width, (3, 1), 1, (rate, 0), (rate, 1)),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, (1, 3), 1, (0, rate), (1, rate)),
            nn.BatchNorm2d(width, eps=1e-3),
        )
        for rate in (1, dilation)
    )
    self.dropout = nn.Dropout(dropout)

  def forward(self, x):
    y = self.second(functional.relu(self.first(x)))
    return functional.relu(x + self.dropout(y))


class Downsampler(nn.Module):
  """A strided convolution beside max pooling."""

  def __init__(self, inputs, outputs):
    super().__init__()
    self.conv = nn.Conv2d(inputs, outputs - inputs, 3, 2, 1)
    self.norm = nn.BatchNorm2d(outputs, eps=1e-3)

  def forward(self, x):
    x = torch.cat([self.conv(x), functional.max_pool2d(x, 2)], 1)
    return functional.relu(self.norm(x))


class ERFNet(nn.Module):
  """ERFNet: factorised blocks at strides 4 and 8, a decoder to stride 2."""

  def __init__(self, classes):
    super().__init__()
    layers = [Downsampler(3, 16), Downsampler(16, 64)]
    layers += [FactorisedBlock(64, dropout=0.1) for _ in range(5)]
    layers.append(Downsampler(64, 128))
    layers += [
        FactorisedBlock(128, dilation, 0.1) for dilation in 2 * (2, 4, 8, 16)
    ]
    for inputs, outputs in ((128, 64), (64, 16)):
      layers += [
          nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, 1),
          nn.BatchNorm2d(outputs, eps=1e-3),
          nn.ReLU(inplace=True),
          FactorisedBlock(outputs),
          FactorisedBlock(outputs),
      ]
    self.layers = nn.Sequential(*layers)
    self.head = fcn_head(16, 128, classes)

  def forward(self, image):
    return {'out': enlarge(self.head(self.layers(image)), image.shape[2:])}
