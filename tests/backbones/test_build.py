import pytest

from segjax import backbones
from tests.backbones.shapes import shapes

TINY = [name for name in backbones.names() if name.endswith('/tiny')]


def test_every_family_has_a_tiny_one():
  families = {name.partition('/')[0] for name in backbones.names()}
  assert families == {name.partition('/')[0] for name in TINY}


@pytest.mark.parametrize(
    'text',
    [
        *TINY,
        'mobilenet/v2',
        'mobilenet/v3_small',
        "vgg/tiny(fc6={'kernel': 3})",
        'vit/tiny(taps=(2, 5))',
        'xception/71',
    ],
)
def test_there_are_features_of_the_levels_that_a_backbone_says(text):
  # CaffeNet is for images of one size.
  image = (1, 227, 227, 3) if text.startswith('caffenet') else (1, 64, 64, 3)
  feats, _ = shapes(text, image)
  assert sorted(feats) == sorted(backbones.build(text).levels)


def test_options_of_the_string_are_fields():
  built = backbones.build(
      'resnet/101(multi_grid=(1, 2, 4), output_stride=8)', name='backbone'
  )
  assert (built.multi_grid, built.output_stride) == ((1, 2, 4), 8)
  assert built.depths == (3, 4, 23, 3)
  assert built == backbones.build(
      'resnet/101', multi_grid=(1, 2, 4), output_stride=8, name='backbone'
  )


def test_options_win_over_the_variant():
  assert backbones.build('resnet/50_v1c').deep_stem == (32, 32, 64)
  assert backbones.build('resnet/50_v1c(deep_stem=(8,))').deep_stem == (8,)


@pytest.mark.parametrize(
    ('text', 'usage'),
    [
        ('resnet/18(output_strid=8)', r'resnet/18\(depths=\(2, 2, 2, 2\), .*'),
        ('vit/base(output_stride=8)', r'vit/base\(width=768, depth=12, .*'),
        ('mobilenet/v2(act=1)', r'mobilenet/v2\(last=1280, .*output_stride=32'),
        ("resnet/18(name='x')", r'resnet/18\(.*, num_classes=0\)'),
        ('resnet/18(parent=None)', r'resnet/18\('),
        ('resnet/18(block=1)', r'resnet/18\('),
    ],
)
def test_an_unknown_option_is_answered_with_those_there_are(text, usage):
  with pytest.raises(ValueError, match=f"no option .* used as '{usage}"):
    backbones.build(text)


@pytest.mark.parametrize('text', ['resnet/18(8)', 'resnet/18(output_stride=x)'])
def test_options_are_literals_with_names(text):
  with pytest.raises(ValueError, match='Cannot read the options'):
    backbones.build(text)


def test_a_field_may_be_set_twice_to_one_value_only():
  text = 'vgg/tiny(dropout=0.5)'
  assert backbones.build(text, dropout=0.5).dropout == 0.5
  with pytest.raises(
      ValueError, match=r'has dropout=0.5, but this system sets dropout=0.1'
  ):
    backbones.build(text, dropout=0.1)


def test_a_field_that_the_family_lacks_is_refused():
  with pytest.raises(ValueError, match='no field output_stride, .* another'):
    backbones.build('hrnet/tiny', output_stride=8)


def test_a_level_that_is_read_has_to_be_there():
  assert backbones.build('resnet/tiny', ('c2', 'c5', '')).levels
  with pytest.raises(
      ValueError, match="reads c2, c5 of its backbone, which 'vit/tiny' has not"
  ):
    backbones.build('vit/tiny', ('c2', 'block11', 'c5', ''))
