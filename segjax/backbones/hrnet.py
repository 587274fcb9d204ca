"""HRNet, https://arxiv.org/abs/1908.07919: high resolution from start to end.

Branches at strides 4 to 32 run in parallel and exchange features after every
few blocks. Checked against the authors' HRNet-Semantic-Segmentation (branch
pytorch-v1.1) and, with `resize_twice=True`, against mmsegmentation 1.2.2.
'w18_small' is W18-Small-v2 in the former and hr18s in the latter;
'w18_small_v1' is W18-Small-v1 in the former, in spite of its width of 16.

The momentum of running statistics is 0.9 as in mmsegmentation; the authors' is
0.99.
"""

from flax import linen as nn

from segjax.backbones.resnet import BasicBlock
from segjax.backbones.resnet import Bottleneck
from segjax.layers.conv import ConvNormAct
from segjax.ops.resize import resize


class Module(nn.Module):
  """Applies blocks to each branch, and then sums all branches into each.

  Figure 3 of the paper. Takes and returns a list of features [B, h, w, C], one
  for each branch, from the highest resolution to the lowest.
  """

  depth: int  # Residual blocks of each branch.
  align_corners: bool
  resize_twice: bool

  @nn.compact
  def __call__(self, branches, train):
    outputs = []
    for i, x in enumerate(branches):
      for j in range(self.depth):
        x = BasicBlock(x.shape[-1], name=f'branch{i}_{j}')(x, train)
      outputs.append(x)
    indices = range(len(outputs))
    return [
        nn.relu(sum(self.exchange(outputs, i, j, train) for j in indices))
        for i in indices
    ]

  def exchange(self, branches, i, j, train):
    """Returns features of branch `j` at the size and channels of branch `i`."""
    x, target = branches[j], branches[i]
    features = target.shape[-1]
    if j > i:
      x = ConvNormAct(features, kernel=1, act=None, name=f'up{i}_{j}')(x, train)
      if self.resize_twice:
        size = tuple(n * 2 ** (j - i) for n in x.shape[1:3])
        x = resize(x, size, align_corners=self.align_corners)
      return resize(x, target.shape[1:3], align_corners=self.align_corners)
    for k in range(i - j):  # The last one changes the number of channels.
      last = k == i - j - 1
      x = ConvNormAct(
          features if last else x.shape[-1],
          stride=2,
          act=None if last else nn.relu,
          name=f'down{i}_{j}_{k}',
      )(x, train)
    return x


class Backbone(nn.Module):
  """Four stages with one to four branches.

  'c1' is the first convolution of the stem, at stride 2; 'c2' to 'c5' are the
  branches of the last stage, at strides 4 to 32.
  """

  # Channels of the branch at stride 4; they double with each further branch.
  width: int
  bottlenecks: int = 4  # Blocks of the first stage.
  depth: int = 4  # Blocks of each branch of a module.
  modules: tuple[int, int, int] = (1, 4, 3)  # Modules of stages 2, 3 and 4.
  stem: int = 64  # Channels of the stem.
  bottleneck: int = 64  # Channels within the blocks of the first stage.
  # How a branch is enlarged to the size of another. The authors' branch
  # pytorch-v1.1 has False for both, and their branch HRNet-OCR aligns corners.
  # mmsegmentation first enlarges by the ratio of strides and then resizes,
  # which makes a difference for odd sizes.
  align_corners: bool = False
  resize_twice: bool = False

  levels = ('c1', 'c2', 'c3', 'c4', 'c5')

  @nn.compact
  def __call__(self, image, train=False):
    c1 = ConvNormAct(self.stem, stride=2, name='stem1')(image, train)
    x = ConvNormAct(self.stem, stride=2, name='stem2')(c1, train)
    for i in range(self.bottlenecks):
      x = Bottleneck(self.bottleneck, name=f'stage1_{i}')(x, train)
    branches = [ConvNormAct(self.width, name='transition1_0')(x, train)]
    for stage, modules in enumerate(self.modules, 2):
      # The new branch begins with the lowest resolution so far.
      lowest = x if stage == 2 else branches[-1]
      new = ConvNormAct(
          self.width * 2 ** (stage - 1),
          stride=2,
          name=f'transition{stage - 1}_{stage - 1}',
      )
      branches = [*branches, new(lowest, train)]
      for i in range(modules):
        branches = Module(
            self.depth,
            self.align_corners,
            self.resize_twice,
            name=f'stage{stage}_{i}',
        )(branches, train)
    return {'c1': c1, **{f'c{level}': x for level, x in enumerate(branches, 2)}}


SMALL = dict(bottlenecks=2, depth=2, modules=(1, 3, 2))
VARIANTS = {
    'tiny': dict(
        width=4,
        bottlenecks=1,
        depth=1,
        modules=(1, 1, 1),
        stem=8,
        bottleneck=8,
    ),
    'w18_small_v1': dict(
        width=16, bottlenecks=1, depth=2, modules=(1, 1, 1), bottleneck=32
    ),
    'w18_small': dict(width=18, **SMALL),
    'w18': dict(width=18),
    'w32': dict(width=32),
    'w48': dict(width=48),
}
