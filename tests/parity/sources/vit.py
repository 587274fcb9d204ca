"""Vision Transformers of timm 1.0.31 and mmsegmentation 1.2.2."""

import flax
from flax import linen as nn

from segjax.backbones import vit
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import vit as mmseg
from segjax.convert.rules.timm import vit as timm
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


class Cropped(vit.Backbone):
  """Leaves out what is not a whole patch, as timm does."""

  def __call__(self, image, train=False):
    height, width = (
        side // self.patch * self.patch for side in image.shape[1:3]
    )
    return super().__call__(image[:, :height, :width], train)


class Variants(nn.Module):
  """The same weights, used in four ways."""

  fields: flax.core.FrozenDict

  @nn.compact
  def __call__(self, image, train=False):
    backbone = vit.Backbone(**self.fields, name='backbone')
    out = backbone(image, train)
    variables = {'params': backbone.variables['params']}

    def last(image, **fields):
      model = vit.Backbone(**{**self.fields, **fields}, parent=None)
      return model.apply(variables, image, train)[f'block{model.depth - 1}']

    corner = image[:, :75, :120]
    out['crop_bilinear'] = last(corner, resize='bilinear')
    out['crop_bicubic'] = last(corner, resize='bicubic')
    out['no_cls'] = last(image, class_token=False)
    return out


def mmseg_fields(build):
  return flax.core.FrozenDict(
      width=build['embed_dims'],
      depth=build['num_layers'],
      heads=build['num_heads'],
      patch=build['patch_size'],
      image_size=(build['img_size'],) * 2,
      resize=build['interpolate_mode'],
      taps=tuple(build['out_indices']),
      class_token=build['with_cls_token'],
      patch_bias=False,
      final_norm=False,
  )


CASES = {
    'timm_vit_small': Case(
        lambda spec: Cropped(
            **vit.VARIANTS['small'],
            image_size=tuple(spec['build']['img_size']),
            num_classes=spec['num_classes'],
        ),
        timm.RULES,
        {
            'tokens_0': inside('embed'),
            'tokens_1': inside('block0'),
            'tokens_6': inside('block5'),
            'tokens_12': inside('block11'),
            'tokens': inside('norm'),
            'class_logits': returned('class_logits'),
        },
        parts=('embed', 'block0', 'block5', 'block11', 'norm'),
    ),
    'vit': Case(
        lambda spec: Variants(
            flax.core.FrozenDict(mmseg_fields(spec['build']))
        ),
        under('', mmseg.RULES, 'backbone'),
        {
            **{f'out_{i}': returned(f'block{i}') for i in range(4)},
            'crop_bilinear': returned('crop_bilinear'),
            'crop_bicubic': returned('crop_bicubic'),
            'no_cls': returned('no_cls'),
        },
    ),
}
