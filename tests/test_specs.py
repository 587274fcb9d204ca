import ast
import dataclasses

import pytest

from segjax import specs


def flip():
  pass


def poly(base, total, *, power=0.9, floor=0.0):
  del base, total, power, floor


@dataclasses.dataclass
class Crop:
  size: int
  mode: str = 'random'


KNOWN = {'flip': flip, 'poly': poly, 'crop': Crop}


def parse(text):
  return specs.parse(text, KNOWN, 'thing', given=('base', 'total'))


@pytest.mark.parametrize(
    ('text', 'name', 'arguments'),
    [
        ('flip', 'flip', {}),
        (' flip()\n', 'flip', {}),
        ('poly(power=2)', 'poly', {'power': 2}),
        ('poly(floor=1e-4, power=-.5)', 'poly', {'power': -0.5, 'floor': 1e-4}),
        ('crop(512)', 'crop', {'size': 512}),
        ('crop((512, 1024))', 'crop', {'size': (512, 1024)}),
        ("crop(512, mode='centre')", 'crop', {'size': 512, 'mode': 'centre'}),
        ('crop', 'crop', {}),
    ],
)
def test_a_call_is_a_name_and_arguments_by_name(text, name, arguments):
  assert parse(text) == (name, arguments)


def test_a_syntax_tree_is_read_as_its_text():
  node = ast.parse('crop(512)', mode='eval').body
  assert parse(node) == ('crop', {'size': 512})


@pytest.mark.parametrize('text', ['flap', 'flap(1)', 'a.flip', '1 + 1', '"x"'])
def test_what_is_no_known_name_is_refused_with_those_known(text):
  message = 'There is no thing .* Known: crop, flip, poly.'
  with pytest.raises(ValueError, match=message):
    parse(text)


@pytest.mark.parametrize('text', ['', 'poly(', 'poly power', 'crop(1'])
def test_what_is_no_expression_is_refused(text):
  with pytest.raises(ValueError, match='Cannot read the thing') as error:
    parse(text)
  assert repr(text) in str(error.value)


@pytest.mark.parametrize(
    'text',
    [
        'poly(pow=1)',
        'poly(1)',
        'poly(base=1)',
        'poly(power=1, power=2)',
        'poly(*(1, 2))',
        "poly(**{'power': 1})",
    ],
)
def test_wrong_arguments_are_refused_with_those_there_are(text):
  usage = r'It is used as poly\(\*, power=0.9, floor=0.0\).'
  with pytest.raises(ValueError, match=usage):
    parse(text)


@pytest.mark.parametrize(
    'text',
    ['crop(exit())', 'crop(size=open("/x", "w"))', 'crop(2 ** 9)', 'crop(a)'],
)
def test_arguments_that_are_no_literals_are_never_evaluated(text):
  with pytest.raises(ValueError, match=r'It is used as crop\('):
    parse(text)


def test_options_are_arguments_by_name():
  assert specs.options('') == {}
  assert specs.options('flip=True, scales=(0.5, 1.0)') == {
      'flip': True,
      'scales': (0.5, 1.0),
  }


def test_a_name_that_is_no_identifier_has_options_too():
  assert specs.split('resnet/50_v1c', 'net') == ('resnet/50_v1c', {})
  assert specs.split('resnet/50()', 'net') == ('resnet/50', {})
  assert specs.split("a/1(b=(1, 2), c='(')", 'net') == (
      'a/1',
      {'b': (1, 2), 'c': '('},
  )


@pytest.mark.parametrize('text', ['a/1(b=1', 'a/1(b=1) ,', 'a/1(b=1)c'])
def test_options_that_do_not_end_are_refused(text):
  with pytest.raises(ValueError, match='Cannot read the net') as error:
    specs.split(text, 'net')
  assert repr(text) in str(error.value)


@pytest.mark.parametrize(
    'text',
    ['True', 'flip', 'a=1, a=2', "**{'a': 1}", 'a=open("/x")', 'a=(']
    + ['a=1)(b=2', 'a=1) + f(b=2'],
)
def test_what_are_no_options_is_refused(text):
  with pytest.raises(ValueError, match='Cannot read the options') as error:
    specs.options(text)
  assert repr(text) in str(error.value)
