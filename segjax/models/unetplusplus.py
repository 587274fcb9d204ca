"""U-Net++, https://arxiv.org/abs/1807.10165.

Between encoder and decoder of a U-Net stand nodes: each level is joined by what
the next coarser one has made of itself, again and again, so that the skips say
nearly what the decoder expects (figure 1a). Node j of level i, X^{i,j} of the
paper, reads the enlarged node j - 1 of level i + 1 and all nodes before it of
its own level. As in `UnetPlusPlus` of segmentation_models_pytorch 0.6.0,
against which it was checked, level 1 has stride 2, there is a last stage at the
size of the image without a skip, and only the last node of level 1 is scored;
`deep_supervision=True` adds the paper's scores of the others in training.
Logits are the paper's fast mode, those of the last branch alone.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.decoder_block import DecoderBlock
from segjax.layers.head import classifier
from segjax.layers.head import xavier_classifier
from segjax.ops.resize import resize

LEVELS = (4, 3, 2, 1)  # That have nodes, from stride 16 to stride 2.


class Model(nn.Module):
  """Backbone, a triangle of nodes, and a stage at the size of the image."""

  num_classes: int
  backbone: str = 'resnet/34'
  # Channels of the last node of each level, from stride 16 to 2, and of the
  # stage at the size of the image. Other nodes have those of the backbone.
  features: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16)
  scse: str = ''  # 'sum' or 'max', see `SCSE`; '' has none.
  reduction: int = 16  # Of scSE; the paper's is 2.
  deep_supervision: bool = False  # Scores the nodes of level 1, each.

  @nn.compact
  def __call__(self, image, *, train=False):
    if len(self.features) != len(LEVELS) + 1:
      raise ValueError(
          f'features={self.features}: there are {len(LEVELS)} levels and the'
          ' size of the image; give one number for each.'
      )
    levels = ('c5', *(f'c{level}' for level in LEVELS))
    feats = backbones.build(self.backbone, levels, name='backbone')(
        image, train
    )
    nodes = [feats['c5']]  # Of the level below, from the backbone's on.
    for level, last in zip(LEVELS, self.features, strict=False):
      below, nodes = nodes, [feats[f'c{level}']]
      for column, x in enumerate(below, 1):
        widths = last if column == len(below) else nodes[0].shape[-1]
        skip = jnp.concatenate(nodes[::-1], -1)  # The newest node is first.
        nodes.append(
            DecoderBlock(
                widths,
                self.scse,
                self.reduction,
                name=f'node{level}_{column}',
            )(x, skip, skip, train)
        )
    x = DecoderBlock(self.features[-1], self.scse, self.reduction, name='up0')(
        nodes[-1], image, None, train
    )
    aux = {}
    if self.deep_supervision:
      for column, node in enumerate(nodes[1:-1], 1):
        scores = classifier(self.num_classes, f'aux_node{column}')(node)
        aux[f'node{column}'] = resize(scores, image.shape[1:3])
    return {'logits': xavier_classifier(self.num_classes)(x), 'aux': aux}
