"""Miniatures of the owners' layouts are written and read back."""

import numpy as np
from PIL import Image
import pytest
import scipy.io

from segjax.data import datasets
from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE

IMAGE = np.full((4, 6, 3), (200, 100, 50), np.uint8)


def write(path, array=IMAGE):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(array).save(path)


def mask_of(*values):
  """Returns a 4x6 mask, which has the values in its first row."""
  mask = np.full((4, 6), values[0], np.uint8)
  mask[0, : len(values)] = values
  return mask


def camvid(root):
  for split, stems in {
      'train': ('0001TP_1', '0006R0_1', '0016E5_1'),
      'val': ('0016E5_2',),
      'test': ('Seq05VD_1', '0001TP_2'),
  }.items():
    for stem in stems:
      write(root / split / f'{stem}.png')
      write(root / f'{split}annot' / f'{stem}.png', mask_of(0, 10, 11))


def camvid_in_folders(root):
  for stem in ('0001TP_1', '0006R0_1', '0016E5_1'):
    write(root / 'train/images' / f'{stem}.jpg')
    write(root / 'train/masks' / f'{stem}.png', mask_of(0, 10, 11))
  write(root / 'val/images/0016E5_2.jpg')
  write(root / 'val/masks/0016E5_2.png', mask_of(0, 10, 11))


def cityscapes(root):
  for split, kind in (('train', 'gtFine'), ('train_extra', 'gtCoarse')):
    for city in ('aachen', 'bochum'):
      stem = f'{city}/{city}_000000_000019'
      write(root / 'leftImg8bit' / split / f'{stem}_leftImg8bit.png')
      masks = root / kind / split
      raw = mask_of(7, 33, 0, 14, 255, 11)
      write(masks / f'{stem}_{kind}_labelIds.png', raw)
      write(masks / f'{stem}_{kind}_color.png', IMAGE)
      write(masks / f'{stem}_{kind}_instanceIds.png', raw)


def voc2012(root):
  voc = root / 'VOCdevkit/VOC2012'
  for stem in ('2007_1', '2007_2', '2007_3', '2008_4'):
    write(voc / f'JPEGImages/{stem}.jpg')
  for split, stems in {
      'train': ('2007_1',),
      'val': ('2007_2',),
      'trainval': ('2007_1', '2007_2'),
  }.items():
    path = voc / f'ImageSets/Segmentation/{split}.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(stems) + '\n')
    for stem in stems:
      mask = Image.fromarray(mask_of(0, 20, 255))
      mask.putpalette(np.arange(768) // 3)
      (voc / 'SegmentationClass').mkdir(exist_ok=True)
      mask.save(voc / f'SegmentationClass/{stem}.png')


def sbd(root):
  masks = root / 'benchmark_RELEASE/dataset/cls'
  masks.mkdir(parents=True)
  for stem in ('2007_1', '2007_2', '2007_3', '2008_4'):
    content = {'Segmentation': mask_of(0, 15), 'Boundaries': 0}
    scipy.io.savemat(masks / f'{stem}.mat', {'GTcls': content})


def ade20k(root):
  for part in ('training', 'validation'):
    stem = f'{part}/ADE_00000001'
    write(root / f'ADEChallengeData2016/images/{stem}.jpg')
    mask = mask_of(1, 150, 0)
    write(root / f'ADEChallengeData2016/annotations/{stem}.png', mask)


def pascal_context(root):
  voc = root / 'VOCdevkit/VOC2010'
  write(voc / 'JPEGImages/2008_1.jpg')
  write(voc / 'SegmentationClassContext/2008_1.png', mask_of(1, 59, 0))
  for split in ('train', 'val'):
    path = voc / f'ImageSets/SegmentationContext/{split}.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('2008_1\n')


def coco_stuff(root):
  for part in ('train2017', 'val2017'):
    write(root / f'images/{part}/000000000009.jpg')
    mask = mask_of(0, 91, 181, 255)
    write(root / f'annotations/{part}/000000000009.png', mask)


def write_stack(path, pages):
  first, *others = (Image.fromarray(page) for page in pages)
  first.save(path, save_all=True, append_images=others)


def isbi2012(root):
  write_stack(root / 'train-volume.tif', [mask_of(i) for i in range(30)])
  write_stack(root / 'train-labels.tif', [mask_of(0, 255)] * 30)


def isbi2012_in_folders(root):
  for split, numbers in (('train', range(24)), ('val', range(24, 30))):
    for i in numbers:
      write(root / f'{split}/images/{i:03d}.png', mask_of(i))
      write(root / f'{split}/masks/{i:03d}.png', mask_of(0, 255))


def drive(root):
  for part, stem in (('training', '21'), ('test', '01')):
    write(root / f'{part}/images/{stem}_{part}.tif')
    write(root / f'{part}/1st_manual/{stem}_manual1.gif', mask_of(0, 255, 0))
    write(root / f'{part}/mask/{stem}_{part}_mask.gif', mask_of(255, 255, 0))
  write(root / 'test/2nd_manual/01_manual2.gif', mask_of(255))


def drive_in_folders(root):
  write(root / 'train/images/21.png')
  write(root / 'train/masks/21.png', mask_of(0, 255, 0))
  write(root / 'train/fov/21.png', mask_of(255, 255, 0))


@pytest.mark.parametrize(
    ('layout', 'split', 'options', 'names', 'row'),
    [
        (camvid, 'val', {}, ['0016E5_2'], [0, 10, IGNORE, 0]),
        (camvid, 'test', {}, ['0001TP_2', 'Seq05VD_1'], [0, 10, IGNORE]),
        (camvid_in_folders, 'val', {}, ['0016E5_2'], [0, 10, IGNORE, 0]),
        (
            cityscapes,
            'train',
            {},
            ['aachen/aachen_000000_000019', 'bochum/bochum_000000_000019'],
            [0, 18, IGNORE, IGNORE, IGNORE, 2],
        ),
        (
            cityscapes,
            'train_extra',
            {},
            ['aachen/aachen_000000_000019', 'bochum/bochum_000000_000019'],
            [0, 18, IGNORE, IGNORE, IGNORE, 2],
        ),
        (voc2012, 'train', {}, ['2007_1'], [0, 20, IGNORE]),
        (voc2012, 'trainval', {}, ['2007_1', '2007_2'], [0, 20, IGNORE]),
        (ade20k, 'train', {}, ['ADE_00000001'], [0, 149, IGNORE]),
        (ade20k, 'val', {}, ['ADE_00000001'], [0, 149, IGNORE]),
        (pascal_context, 'train', {}, ['2008_1'], [0, 58, IGNORE]),
        (pascal_context, 'val', {'num_classes': 60}, ['2008_1'], [1, 59, 0]),
        (coco_stuff, 'train', {}, ['000000000009'], [0, 80, 170, IGNORE]),
        (coco_stuff, 'val', {}, ['000000000009'], [0, 80, 170, IGNORE]),
        (isbi2012, 'val', {}, [f'{i:03d}' for i in range(24, 30)], [0, 1]),
        (isbi2012, 'all', {}, [f'{i:03d}' for i in range(30)], [0, 1]),
        (
            isbi2012_in_folders,
            'train',
            {},
            [f'{i:03d}' for i in range(24)],
            [0, 1],
        ),
        (isbi2012_in_folders, 'all', {}, [f'{i:03d}' for i in range(30)], [0]),
        (drive, 'train', {}, ['21'], [0, 1, 0]),
        (drive, 'test', {}, ['01'], [0, 1, 0]),
        (drive, 'train', {'fov': True}, ['21'], [0, 1, IGNORE]),
        (drive, 'test', {'fov': True}, ['01'], [0, 1, IGNORE]),
        (drive_in_folders, 'train', {}, ['21'], [0, 1, 0]),
        (drive_in_folders, 'train', {'fov': True}, ['21'], [0, 1, IGNORE]),
    ],
)
def test_a_set_is_read_as_its_owners_lay_it_out(
    tmp_path, layout, split, options, names, row
):
  layout(tmp_path)
  name = layout.__name__.removesuffix('_in_folders')
  dataset = datasets.load(name, split, tmp_path, **options)
  assert dataset.split == split
  assert [example['name'] for example in dataset] == names
  example = dataset[0]
  assert example['image'].shape[:2] == example['label'].shape
  assert example['label'].dtype == np.uint8
  channels = 1 if name == 'isbi2012' else 3
  assert {e['image'].shape[2] for e in dataset} == {channels}
  np.testing.assert_array_equal(example['label'][0, : len(row)], row)


def test_camvid_holds_a_drive_out(tmp_path):
  camvid(tmp_path)
  names = {
      split: [e['name'] for e in datasets.load('camvid', split, tmp_path)]
      for split in ('trainval', 'train_without_0006R0', '0006R0')
  }
  assert names == {
      'trainval': ['0001TP_1', '0006R0_1', '0016E5_1', '0016E5_2'],
      'train_without_0006R0': ['0001TP_1', '0016E5_1'],
      '0006R0': ['0006R0_1'],
  }


def test_train_aug_is_voc_train_and_the_rest_of_sbd(tmp_path):
  voc2012(tmp_path)
  sbd(tmp_path)
  dataset = datasets.load('voc2012', 'train_aug', tmp_path)
  rows = {e['name']: e['label'][0, :3].tolist() for e in dataset}
  assert rows == {
      '2007_1': [0, 20, IGNORE],  # VOC's own mask, which is the finer one.
      '2007_3': [0, 15, 0],
      '2008_4': [0, 15, 0],
  }


def test_a_damaged_matlab_file_is_named(tmp_path):
  voc2012(tmp_path)
  sbd(tmp_path)
  masks = tmp_path / 'benchmark_RELEASE/dataset/cls'
  (masks / '2007_3.mat').write_bytes(b'MATLAB')
  with pytest.raises(BadExample, match='2007_3.mat'):
    datasets.load('voc2012', 'train_aug', tmp_path)[1]


def test_train_aug_without_sbd_tells_where_it_is(tmp_path):
  voc2012(tmp_path)
  with pytest.raises(FileNotFoundError, match='benchmark_RELEASE/dataset/cls'):
    datasets.load('voc2012', 'train_aug', tmp_path)


def test_voc2012_needs_no_devkit_folder(tmp_path):
  voc2012(tmp_path)
  assert len(datasets.load('voc2012', 'val', tmp_path / 'VOCdevkit')) == 1


def test_pascal_context_has_59_or_60_classes(tmp_path):
  pascal_context(tmp_path)
  load = datasets.load
  fine = load('pascal_context', 'val', tmp_path).label_map
  full = load('pascal_context', 'val', tmp_path, num_classes=60).label_map
  assert (fine.num_classes, full.num_classes) == (59, 60)
  assert (fine.names, fine.colors) == (full.names[1:], full.colors[1:])
  with pytest.raises(ValueError, match='59 or 60 classes, not 33'):
    load('pascal_context', 'val', tmp_path, num_classes=33)


@pytest.mark.parametrize('write', [isbi2012, isbi2012_in_folders])
def test_isbi2012_is_about_regions_that_membranes_part(write, tmp_path):
  write(tmp_path)
  dataset = datasets.load('isbi2012', 'val', tmp_path)
  assert dataset.label_map.names[dataset.label_map.boundary_class] == 'membrane'


def test_the_slices_of_isbi2012_keep_their_numbers(tmp_path):
  isbi2012(tmp_path)
  dataset = datasets.load('isbi2012', 'val', tmp_path)
  assert [example['image'][0, 0, 0] for example in dataset] == [*range(24, 30)]


@pytest.mark.filterwarnings('ignore::UserWarning')  # Pillow on TIFF.
def test_a_stack_that_is_cut_is_an_error(tmp_path):
  isbi2012(tmp_path)
  path = tmp_path / 'train-labels.tif'
  path.write_bytes(path.read_bytes()[:1000])
  with pytest.raises(BadExample, match='train-labels.tif'):
    datasets.load('isbi2012', 'val', tmp_path)


def test_a_field_of_view_of_another_size_is_an_error(tmp_path):
  drive_in_folders(tmp_path)
  write(tmp_path / 'train/fov/21.png', mask_of(255)[:3])
  with pytest.raises(BadExample, match='fov/21.png is'):
    datasets.load('drive', 'train', tmp_path, fov=True)[0]


def test_a_grey_photograph_becomes_three_channels(tmp_path):
  coco_stuff(tmp_path)
  grey = mask_of(3, 4)
  write(tmp_path / 'images/val2017/000000000009.jpg', grey)
  found = datasets.load('coco_stuff', 'val', tmp_path)[0]['image']
  assert found.shape == (4, 6, 3)
  assert (found == found[:, :, :1]).all()


def test_a_set_lies_in_the_data_directory_or_in_a_folder_of_its_name(
    tmp_path, monkeypatch
):
  camvid_in_folders(tmp_path / 'camvid')
  assert len(datasets.load('camvid', 'val', tmp_path)) == 1
  assert len(datasets.load('camvid', 'val', tmp_path / 'camvid')) == 1
  monkeypatch.setenv('SEGJAX_DATA_DIR', str(tmp_path))
  assert len(datasets.load('camvid', 'val')) == 1


FILE_SETS = sorted(set(datasets.names()) - {'shapes', 'oxford_iiit_pet'})


@pytest.mark.parametrize('name', FILE_SETS)
def test_a_missing_set_tells_the_layout_and_where_to_get_it(
    tmp_path, monkeypatch, name
):
  split = 'all' if name == 'isbi2012' else 'train'
  with pytest.raises(FileNotFoundError, match=r'Expected:\s') as error:
    datasets.load(name, split, tmp_path)
  assert str(tmp_path / name) in str(error.value)
  assert name == 'folder' or 'Get ' in str(error.value)
  monkeypatch.delenv('SEGJAX_DATA_DIR', raising=False)
  with pytest.raises(FileNotFoundError, match='SEGJAX_DATA_DIR'):
    datasets.load(name, split)


@pytest.mark.parametrize('name', sorted(set(FILE_SETS) - {'folder'}))
def test_an_unknown_split_is_answered_with_those_that_exist(tmp_path, name):
  with pytest.raises(ValueError, match="has no split 'tran'; it has .*train"):
    datasets.load(name, 'tran', tmp_path)


def test_an_unknown_set_is_answered_with_those_that_exist():
  with pytest.raises(ValueError, match="no data set 'camvd'; .*camvid, cit"):
    datasets.load('camvd', 'train')


def test_an_unknown_option_is_answered_with_those_that_exist(tmp_path):
  with pytest.raises(ValueError, match="no option 'fow'; it has fov"):
    datasets.load('drive', 'train', tmp_path, fow=True)
