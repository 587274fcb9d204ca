import numpy as np
import pytest

from segjax.data import label_map
from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE
from segjax.data.label_map import LabelMap

RED, GREEN, GREY = (255, 0, 0), (0, 255, 0), (9, 9, 9)


def two_classes(**fields):
  return LabelMap(
      names=('cell', 'wall'),
      colors=(RED, GREEN),
      **{'ids': {0: 0, 1: 1, 255: IGNORE}} | fields,
  )


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int32, np.int64])
def test_raw_ids_become_train_ids(dtype):
  labels = two_classes(ids={7: 0, 3: 1, 100: 0, 0: IGNORE})
  mask = np.array([[0, 7], [3, 100]], dtype)
  found = labels.apply(mask, 'a.png')
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found, [[IGNORE, 0], [1, 0]])


def test_negative_ids_are_ids():
  labels = two_classes(ids={-1: IGNORE, 0: 0, 1: 1})
  found = labels.apply(np.array([[-1, 1]], np.int16), 'a.npy')
  np.testing.assert_array_equal(found, [[IGNORE, 1]])


@pytest.mark.parametrize('value', [2, 254, -1, 65535, 2**40])
def test_an_id_outside_the_map_is_named_with_its_pixels(value):
  mask = np.array([[0, value], [value, 1]], np.int64)
  with pytest.raises(BadExample, match=rf'a\.png: ids .*: {value} \(2 px\)'):
    two_classes().apply(mask, 'a.png')


def test_the_ids_that_are_known_are_told():
  with pytest.raises(BadExample, match=r'it knows 0\.\.1, 255'):
    two_classes().apply(np.array([[5]]), 'a.png')


def test_many_foreign_ids_are_told_briefly():
  with pytest.raises(BadExample, match='190 more'):
    two_classes().apply(np.arange(2, 202)[None], 'a.png')


def test_colours_become_train_ids():
  labels = two_classes(color_coded=True, ignored_colors=(GREY,))
  mask = np.array([[RED, GREEN], [GREY, RED]], np.uint8)
  found = labels.apply(mask, 'a.png')
  np.testing.assert_array_equal(found, [[0, 1], [IGNORE, 0]])


def test_a_grey_mask_of_a_colour_coded_set_holds_ids():
  found = two_classes(color_coded=True).apply(np.array([[0, 1]]), 'a.png')
  np.testing.assert_array_equal(found, [[0, 1]])


def test_a_colour_outside_the_map_is_named_with_its_pixels():
  mask = np.array([[RED, (255, 0, 1)]], np.uint8)
  with pytest.raises(BadExample, match=r'a\.png: .*\(255, 0, 1\) \(1 px\)'):
    two_classes(color_coded=True).apply(mask, 'a.png')


def test_a_coloured_mask_where_ids_are_expected_is_an_error():
  mask = np.array([[RED, GREEN]], np.uint8)
  with pytest.raises(BadExample, match=r'a\.png: a coloured mask'):
    two_classes().apply(mask, 'a.png')


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'names': (), 'colors': ()}, '1 to 255 classes, this has 0'),
        ({'colors': (RED,)}, '2 names but 1 colours'),
        ({'ids': {0: 2}}, r'ids lead to \[2\]'),
        ({'colors': (RED, RED), 'color_coded': True}, 'two meanings'),
    ],
)
def test_a_label_map_without_sense_is_an_error(fields, message):
  sound = {'names': ('a', 'b'), 'colors': (RED, GREEN), 'ids': {0: 0, 1: 1}}
  with pytest.raises(ValueError, match=message):
    LabelMap(**sound | fields)


@pytest.mark.parametrize(
    ('name', 'num_classes', 'raw', 'train'),
    [
        ('ade20k', 150, [0, 1, 7, 150], [IGNORE, 0, 6, 149]),
        ('camvid', 11, [0, 10, 11], [0, 10, IGNORE]),
        (
            'cityscapes',
            19,
            [-1, 0, 6, 7, 8, 11, 18, 26, 29, 33, 255],
            [IGNORE, IGNORE, IGNORE, 0, 1, 2, IGNORE, 13, IGNORE, 18, IGNORE],
        ),
        (
            'coco_stuff',
            171,
            [0, 10, 12, 91, 181, 255],
            [0, 10, 11, 80, 170, 255],
        ),
        ('pascal_context', 60, [0, 59, 255], [0, 59, IGNORE]),
        ('voc2012', 21, [0, 20, 255], [0, 20, IGNORE]),
    ],
)
def test_the_tables_of_the_named_sets(name, num_classes, raw, train):
  labels = label_map.read(name)
  assert labels.num_classes == num_classes
  assert len(set(labels.names)) == num_classes
  assert set(labels.ids.values()) == {*range(num_classes), IGNORE}
  found = labels.apply(np.array([raw]), name)
  np.testing.assert_array_equal(found, [train])


@pytest.mark.parametrize(
    ('name', 'train_id', 'class_name', 'color'),
    [
        ('ade20k', 6, 'road', (140, 140, 140)),
        ('ade20k', 48, 'skyscraper', (140, 140, 140)),
        ('ade20k', 149, 'flag', (92, 0, 255)),
        ('camvid', 4, 'pavement', (60, 40, 222)),
        ('cityscapes', 13, 'car', (0, 0, 142)),
        ('coco_stuff', 79, 'toothbrush', (192, 160, 0)),
        ('coco_stuff', 80, 'banner', (0, 192, 0)),
        ('pascal_context', 1, 'aeroplane', (180, 120, 120)),
        ('voc2012', 15, 'person', (192, 128, 128)),
    ],
)
def test_classes_stand_where_the_owners_put_them(
    name, train_id, class_name, color
):
  labels = label_map.read(name)
  assert labels.names[train_id] == class_name
  assert labels.colors[train_id] == color


def test_ids_that_coco_does_not_use_are_errors():
  labels = label_map.read('coco_stuff')
  assert len(set(range(182)) - set(labels.ids)) == 11
  with pytest.raises(BadExample, match='11 '):
    labels.apply(np.array([[11]]), 'a.png')


def test_default_colours_are_those_of_voc():
  voc = label_map.read('voc2012')
  assert label_map.default_colors(21) == voc.colors
  assert len(set(label_map.default_colors(255))) == 255


def test_names_alone_make_a_label_map():
  labels = label_map.parse({'classes': [{'name': 'a'}, {'name': 'b'}]}, 'x')
  assert labels.names == ('a', 'b')
  assert labels.ids == {0: 0, 1: 1}
  assert not labels.color_coded


def test_one_id_needs_no_list():
  classes = [{'name': 'a', 'ids': 0}, {'name': 'b', 'ids': [128, 255]}]
  labels = label_map.parse({'classes': classes, 'ignore': 7}, 'x')
  assert labels.ids == {0: 0, 128: 1, 255: 1, 7: IGNORE}


@pytest.mark.parametrize('ids', [True, False])
def test_colours_without_ids_make_a_set_colour_coded(ids):
  classes = [{'name': 'a', 'color': [1, 2, 3]} | ({'ids': [4]} if ids else {})]
  content = {'classes': classes, 'ignored_colors': [[0, 0, 0]]}
  labels = label_map.parse(content, 'x')
  assert labels.color_coded == (not ids)
  assert labels.ignored_colors == ((0, 0, 0),)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([], 'expected an object'),
        ({}, r"\['classes'\] is missing"),
        ({'classes': []}, 'one class or more'),
        ({'classes': 3}, 'one class or more'),
        ({'classes': ['a']}, "expected an object, this is 'a'"),
        ({'classes': [{}]}, r"\['name'\] is missing"),
        ({'classes': [{'name': 'a'}], 'void': 3}, r"unknown \['void'\]; known"),
        ({'classes': [{'name': 'a', 'colour': 3}]}, r"unknown \['colour'\]"),
        ({'classes': [{'name': 'a'}] * 2}, "given once, 'a' is not"),
        ({'classes': [{'name': 3}]}, 'a name is text and given once, 3'),
        ({'classes': [{'name': 'a', 'color': [1, 2]}]}, 'a colour is three'),
        ({'classes': [{'name': 'a', 'color': [1, 2, 256]}]}, 'a colour is'),
        ({'classes': [{'name': 'a', 'ids': ['7']}]}, "whole number, '7'"),
        ({'classes': [{'name': 'a', 'ids': [7]}], 'ignore': 7}, 'two meanings'),
        (
            {'classes': [{'name': 'a', 'ids': [7]}, {'name': 'b'}]},
            r"'ids' is given for some classes but not for \['b'\]",
        ),
        (
            {'classes': [{'name': n, 'color': [1, 2, 3]} for n in 'ab']},
            r'two meanings for the colour \(1, 2, 3\)',
        ),
    ],
)
def test_a_wrong_json_is_answered_with_what_is_wrong(content, message):
  with pytest.raises(ValueError, match=message) as error:
    label_map.parse(content, 'dataset.json')
  assert 'dataset.json' in str(error.value)


def test_things_are_classes_of_the_map():
  classes = dict(
      names=('sky', 'car'), colors=((0, 0, 0), (1, 1, 1)), ids={0: 0, 1: 1}
  )
  assert LabelMap(**classes).things == ()
  assert LabelMap(**classes, things=(1,)).things == (1,)
  with pytest.raises(ValueError, match=r'things are \[2\]; train ids are 0..1'):
    LabelMap(**classes, things=(1, 2))
