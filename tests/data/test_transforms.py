import cv2
import numpy as np
import pytest

from segjax.data import transforms
from segjax.data.transforms import color

GEOMETRY = (
    'class_balanced_crop(20, 30)',
    'cut_border(1.0, 9)',
    'elastic(1.0)',
    'flip(1.0)',
    'grid_distortion(1.0)',
    'pad(64, 80)',
    'random_crop(20, 30)',
    'random_scale',
    'resize(37, 41)',
    'rotate(1.0)',
)
COLOR = (
    *('bgr', 'blur(1.0)', 'clahe(1.0)', 'cutout(1.0)', 'gamma(1.0)'),
    *('normalize', 'photometric'),
)


def example(height=48, width=64, channels=3, dtype=np.uint8, seed=0):
  """A smooth image and blocks of the classes 0 to 3, some of them ignored."""
  rng = np.random.default_rng(seed)
  top = 255 if dtype == np.uint8 else 60000
  image = rng.integers(0, top, (height, width, channels)).astype(dtype)
  image = cv2.GaussianBlur(image, (0, 0), 3).reshape(image.shape)
  label = rng.choice([0, 1, 2, 3, 255], (6, 8)).astype(np.uint8)
  label = cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST)
  return {'image': image, 'label': label, 'name': 'a'}


def run(spec, features, seed=0):
  return transforms.apply(
      transforms.parse(spec), features, np.random.default_rng(seed)
  )


def same(a, b):
  return all(np.array_equal(a[key], b[key]) for key in ('image', 'label'))


def test_parse_gives_the_ops_in_order():
  spec = "resize(9, mode='short') | random_crop(5, 7, cat_max_ratio=1.0) | flip"
  assert transforms.parse(spec) == (
      transforms.Resize(9, mode='short'),
      transforms.RandomCrop(5, 7, 1.0),
      transforms.Flip(0.5),
  )


def test_parts_in_turn_stand_in_specs_of_their_own():
  spec = 'bgr|in_turn(resize(64, -3)|rotate, resize(32))|flip'
  assert transforms.in_turn(spec) == (
      'bgr|resize(64, -3)|rotate|flip',
      'bgr|resize(32)|flip',
  )
  assert transforms.in_turn('flip|normalize') == ('flip|normalize',)
  with pytest.raises(ValueError, match=r'for config\.preprocess\.train'):
    transforms.parse(spec)


@pytest.mark.parametrize(
    'spec', ['in_turn()|flip', 'in_turn(flip, n=2)', 'in_turn(flip)|in_turn(a)']
)
def test_parts_in_turn_are_arguments_of_one_op(spec):
  with pytest.raises(ValueError, match='in_turn is written once'):
    transforms.in_turn(spec)


@pytest.mark.parametrize(
    ('size', 'expected'), [((25, 35), (32, 44)), ((20, 45), (22, 50))]
)
def test_the_longer_side_has_a_limit_and_sides_are_rounded_down(size, expected):
  (op,) = transforms.parse('resize(32, mode="short", longest=50)')
  assert op.new_size(size) == expected
  assert op.new_size(size[::-1]) == expected[::-1]


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ('flop', 'Known: bgr, blur, border_weights, canny, centers, clahe'),
        ('clahe(limit=0.5)', 'limit is at least 1'),
        ('cut_border(pixels=0)', '1 or more'),
        ('gamma(low=2.0)', '0 < low <= high'),
        ('grid_distortion(limit=1.0)', 'from 0 to below 1'),
        ('grid_distortion(cells=0)', '1 or more'),
        ('', 'Known: bgr'),
        ('flip|', 'literal arguments'),
        ('flip(0.5', 'literal arguments'),
        ('random_crop', r'random_crop\(height: int, width: int = 0'),
        ('random_crop(512, size=3)', r'used as random_crop\(height'),
        ('random_crop(size)', r'random_crop\(height'),
        ('random_crop(0)', 'height and width are positive'),
        ('pad(10.5)', 'whole numbers'),
        ('resize(5, mode="big")', "'exact', 'short' or 'long'"),
        ('resize(5, 6, mode="short")', 'one number'),
        ('resize(5, mode="long", longest=9)', "longest=9 is for mode 'short'"),
        ('flip(50)', 'between 0 and 1'),
        ('random_crop(5, halo=-1)', 'whole number of pixels'),
        ('elastic(points=0)', '1 or more'),
        ('border_weights(sigma=0.0)', 'sigma is positive'),
        ('random_scale(2.0, 0.5)', 'low <= high'),
        ('random_short((300.0,), 500)', 'whole positive numbers'),
        ('random_short((), 500)', 'whole positive numbers'),
        ('normalize(0, 0)', 'positive'),
        ('flip(__import__("os"))', 'flip'),
    ],
)
def test_a_spec_that_is_wrong_says_why(spec, message):
  with pytest.raises(ValueError, match=message):
    transforms.parse(spec)


@pytest.mark.parametrize('spec', [*GEOMETRY, *COLOR])
def test_an_op_leaves_its_input_and_other_features_alone(spec):
  before, features = example(), example()
  after = run(spec, features)
  assert same(before, features)
  assert after['name'] == 'a'
  assert after['image'].shape[:2] == after['label'].shape
  assert after['label'].dtype == np.uint8


@pytest.mark.parametrize('count', [4, 130])
@pytest.mark.parametrize(
    'spec', [*GEOMETRY, *COLOR, 'random_scale|random_crop(24)']
)
def test_regions_go_where_the_label_goes(spec, count):
  classes = np.arange(count) % 4
  features = example()
  features['proposals'] = np.uint8(features['label'][..., None] == classes)
  ops = transforms.fuse(transforms.parse(spec))
  after = transforms.apply(ops, features, np.random.default_rng(0))
  assert after['proposals'].dtype == np.uint8
  assert after['proposals'].any()
  # OpenCV takes another route for some numbers of channels.
  expected = after['label'][..., None] == classes
  assert np.mean(after['proposals'] != expected) < 1e-3


@pytest.mark.parametrize('spec', [*GEOMETRY, *COLOR])
def test_an_op_does_without_a_label(spec):
  image = {'image': example()['image']}
  if 'class_balanced' in spec:
    with pytest.raises(ValueError, match='needs a label'):
      run(spec, image)
  else:
    # `pad` tells how much of the image it leaves.
    assert run(spec, image).keys() - {'content'} == {'image'}


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize('channels', [1, 2, 7])
@pytest.mark.parametrize('spec', [*GEOMETRY, 'blur(1.0)', 'cutout(1.0)'])
def test_an_op_works_channel_by_channel_on_any_image(spec, channels, dtype):
  features = run('flip(1.0)', example(channels=channels, dtype=dtype))
  together = run(spec, features)['image']
  assert together.dtype == dtype
  for channel in range(channels):
    image = features['image'][:, :, channel : channel + 1]
    alone = run(spec, {**features, 'image': image})['image']
    # OpenCV takes another route for some numbers of channels.
    np.testing.assert_allclose(
        together[..., channel], alone[..., 0], rtol=0, atol=0.03 * image.max()
    )


@pytest.mark.parametrize('size', [(24, 32), (96, 130), (31, 100), (48, 64)])
def test_resize_samples_image_and_label_at_the_same_points(size):
  image = example(dtype=np.float32)['image']
  rows, columns = np.indices(image.shape[:2], np.uint8)
  resized = run(f'resize{size}', {'image': image, 'label': rows})['image']
  picked = [
      run(f'resize{size}', {'image': image, 'label': label})['label']
      for label in (rows, columns.copy())
  ]
  for axis, new in enumerate(size):
    old = image.shape[axis]
    points = (np.arange(new) + 0.5) * old / new - 0.5
    nearest = np.moveaxis(picked[axis], axis, -1)
    assert np.abs(nearest - points).max() <= 0.5 + 1e-3
    p = np.clip(points, 0, old - 1)
    low = np.minimum(p.astype(int), old - 2)
    part = (p - low).reshape([-1 if i == axis else 1 for i in range(3)])
    image = (
        image.take(low, axis) * (1 - part) + image.take(low + 1, axis) * part
    )
  np.testing.assert_allclose(resized, image, rtol=1e-4)


def test_resize_by_a_side_keeps_the_aspect_ratio():
  features = example(48, 64)
  assert run("resize(24, mode='short')", features)['label'].shape == (24, 32)
  assert run("resize(32, mode='long')", features)['label'].shape == (24, 32)
  assert run('resize(32)', features)['label'].shape == (32, 32)


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((20, 30), {(10, 15), (30, 45)}),
        ((30, 20), {(15, 10), (45, 30)}),
        ((10, 80), {(6, 50), (6, 50)}),  # The longer side decides.
        ((10, 40), {(10, 40), (13, 50)}),
    ],
)
def test_random_short_gives_the_shorter_side_a_length(size, expected):
  (op,) = transforms.parse('random_short((10, 30), longest=50)')
  rng = np.random.default_rng(0)
  image = np.zeros((*size, 3), np.float32)
  drawn = {
      op.random_map({'image': image}, rng)['image'].shape[:2] for _ in range(20)
  }
  assert drawn == expected


def test_random_scale_keeps_its_range_and_its_steps():

  def shapes(spec):
    features = example(40, 80)
    return {run(spec, features, seed)['label'].shape for seed in range(50)}

  heights = sorted(height for height, _ in shapes('random_scale(0.5, 2.0)'))
  assert len(heights) > 25
  assert 20 <= heights[0] < 25
  assert 70 < heights[-1] <= 80
  stepped = shapes('random_scale(0.5, 1.0, step=0.25)')
  assert stepped == {(20, 40), (30, 60), (40, 80)}


@pytest.mark.parametrize('op', ['random_crop', 'class_balanced_crop'])
def test_a_crop_cuts_image_and_label_alike(op):
  at = np.arange(48 * 64, dtype=np.float32).reshape(48, 64, 1)
  features = {'image': at, 'label': (at[..., 0] % 251).astype(np.uint8)}
  corners = set()
  for seed in range(200):
    cropped = run(f'{op}(46, 61)', features, seed)
    corner = divmod(int(cropped['image'][0, 0, 0]), 64)
    corners.add(corner)
    window = tuple(
        slice(c, c + n) for c, n in zip(corner, (46, 61), strict=True)
    )
    np.testing.assert_array_equal(cropped['image'], at[window])
    np.testing.assert_array_equal(cropped['label'], features['label'][window])
  assert len(corners) > 6


@pytest.mark.parametrize('op', ['random_crop', 'class_balanced_crop'])
def test_a_crop_takes_a_smaller_image_whole(op):
  features = example(48, 64)
  assert same(run(f'{op}(100)', features), features)
  assert run(f'{op}(30, 100)', features)['label'].shape == (30, 64)


def test_random_crop_draws_again_as_mmseg_does():
  label = np.zeros((40, 40), np.uint8)
  label[:, 25:] = 1
  label[20:, 20:] = 2
  label[:15, :] = 255
  features = {'image': label[..., None], 'label': label}
  redraws = 0
  for seed in range(100):
    rng = np.random.default_rng(seed)
    y, x = rng.integers(31), rng.integers(31)
    for _ in range(10):
      _, counts = np.unique(
          [i for i in label[y : y + 10, x : x + 10].ravel() if i != 255],
          return_counts=True,
      )
      if len(counts) > 1 and counts.max() / counts.sum() < 0.75:
        break
      y, x = rng.integers(31), rng.integers(31)
      redraws += 1
    cropped = run('random_crop(10)', features, seed)['label']
    np.testing.assert_array_equal(cropped, label[y : y + 10, x : x + 10])
  assert redraws > 100


def test_class_balanced_crop_shows_rare_classes():
  label = np.zeros((60, 90), np.uint8)
  label[50, 80] = 1
  label[:30] = 255
  features = {'image': label[..., None], 'label': label}
  crops = [
      run('class_balanced_crop(15)', features, seed)['label']
      for seed in range(200)
  ]
  assert 80 < sum((crop == 1).any() for crop in crops) < 140
  ignored = {'image': label[..., None], 'label': np.full_like(label, 255)}
  assert run('class_balanced_crop(15)', ignored)['label'].shape == (15, 15)


def test_pad_adds_zeros_and_ignored_pixels_at_the_end():
  features = example(48, 64)
  padded = run('pad(50, 70)', features)
  assert padded['image'].shape == (50, 70, 3)
  assert same(
      features,
      {key: padded[key][:48, :64] for key in ('image', 'label')},
  )
  for rows, columns in ((slice(48, None), slice(None)), (..., slice(64, None))):
    assert (padded['image'].transpose(2, 0, 1)[:, rows, columns] == 0).all()
    assert (padded['label'][rows, columns] == 255).all()


def test_pad_to_less_than_the_image_names_both_sizes():
  with pytest.raises(
      ValueError, match='48 x 64 does not fit .* 40 x 100 of pad'
  ):
    run('pad(40, 100)', example(48, 64))


def test_flip_mirrors_image_and_label_together():
  features = example()
  mirrored = {key: features[key][:, ::-1] for key in ('image', 'label')}
  assert same(run('flip(1.0)', features), mirrored)
  assert same(run('flip(0.0)', features), features)
  flips = sum(
      same(run('flip', features, seed), mirrored) for seed in range(100)
  )
  assert 30 < flips < 70


def test_rotate_turns_about_the_centre_and_ignores_what_comes_in():
  features = {
      'image': np.full((41, 61, 1), 200, np.uint8),
      'label': np.ones((41, 61), np.uint8),
  }
  features['image'][20, 40] = 0
  features['label'][18:23, 38:43] = 3
  turned = run('rotate(1.0, degrees=30.0)', features)
  rng = np.random.default_rng(0)
  rng.random()
  angle = np.deg2rad(rng.uniform(-30, 30))
  y, x = round(20 - 10 * np.sin(angle)), round(30 + 10 * np.cos(angle))
  assert abs(y - 20) > 1
  assert turned['label'][y, x] == 3
  assert turned['image'][y, x, 0] < 150
  assert turned['label'][20, 30] == 1
  assert turned['label'][0, 0] == 255
  assert turned['image'][0, 0, 0] == 0
  assert same(run('rotate(1.0, degrees=0.0)', features), features)


def test_elastic_bends_image_and_label_at_the_same_points():
  rows, columns = np.indices((60, 90), np.uint8)
  image = np.stack([rows, columns], -1).astype(np.float32)
  for seed in range(5):
    picked = [
        run('elastic(1.0)', {'image': image, 'label': label}, seed)
        for label in (rows, columns.copy())
    ]
    bent = picked[0]['image']
    label = np.stack([features['label'] for features in picked], -1)
    inside = (label != 255).all(-1)
    assert 0.3 < inside.mean() < 1
    # A pixel at the border is picked where half of the image's comes from it.
    inner = inside & (label > 0).all(-1) & (label < (59, 89)).all(-1)
    assert np.abs(bent - label)[inner].max() <= 0.5 + 1 / 32


def test_displacements_of_elastic_are_smooth_and_have_the_deviation():
  size = (48, 64)
  ramp = np.indices(size, np.float32).transpose(1, 2, 0) + 100
  wide = np.pad(
      ramp, ((80, 80), (80, 80), (0, 0)), 'reflect', reflect_type='odd'
  )
  moved = [
      run('elastic(1.0, sigma=6.0)', {'image': wide}, seed)['image'] - wide
      for seed in range(60)
  ]
  middle = np.stack(moved)[:, 104, 112]  # That of a point of the grid.
  assert 5 < middle.std() < 7
  assert np.abs(middle.mean(0)).max() < 2.5
  for axis in (1, 2):
    steps = np.diff(np.stack(moved)[:, 60:-60, 60:-60], axis=axis)
    assert np.abs(steps).max() < 1


def test_elastic_without_displacements_changes_nothing():
  features = example()
  assert same(run('elastic(1.0, sigma=0.0)', features), features)


def test_grid_distortion_scales_cells_and_keeps_the_borders():
  rows, columns = np.indices((60, 90), np.uint8)
  image = np.stack([rows, columns], -1).astype(np.float32)
  spec = 'grid_distortion(1.0, cells=3, limit=0.5)'
  for seed in range(5):
    picked = [
        run(spec, {'image': image, 'label': label}, seed)
        for label in (rows, columns.copy())
    ]
    moved = picked[0]['image']
    label = np.stack([features['label'] for features in picked], -1)
    assert (label != 255).all()  # Nothing comes from beyond the border.
    assert np.abs(moved - label).max() <= 0.5 + 1 / 32
    for axis, (side, cell) in enumerate(((60, 20), (90, 30))):
      line = np.moveaxis(moved[..., axis], axis, 0)[:, 0]
      assert line[0] < 1
      assert line[-1] > side - 2
      # The old pixels of each cell are as many new ones as its factor says,
      # and at the same distances.
      rate = np.diff(line)
      assert rate[1:-1].min() >= 1 / 3.01
      assert rate[1:-1].max() <= 3.01
      widths = np.bincount(np.minimum(line // cell, 2).astype(int))
      assert np.ptp(widths) > 1
      start = np.flatnonzero(line // cell == 1)[1]
      inside = rate[start : start + widths[1] - 3]
      np.testing.assert_allclose(inside, inside[0], atol=0.08)
  features = example()
  still = run('grid_distortion(1.0, limit=0.0)', features)
  assert same(still, features)


@pytest.mark.parametrize('crop', ['random_crop', 'class_balanced_crop'])
@pytest.mark.parametrize('halo', [1, 7, 60])
def test_context_is_what_lies_around_the_crop_or_mirrored(crop, halo):
  features = example()
  mirrored = np.pad(
      features['image'], (*(((halo, halo),) * 2), (0, 0)), 'reflect'
  )
  for seed in range(10):
    plain = run(f'{crop}(20, 70)', features, seed)
    wide = run(f'{crop}(20, 70, halo={halo})', features, seed)
    np.testing.assert_array_equal(wide['label'], plain['label'])
    inner = wide['image'][halo:-halo, halo:-halo]
    np.testing.assert_array_equal(inner, plain['image'])
    assert wide['image'].shape == (20 + 2 * halo, 64 + 2 * halo, 3)
    assert any(
        np.array_equal(wide['image'], mirrored[y : y + 20 + 2 * halo])
        for y in range(48 - 20 + 1)
    )


@pytest.mark.parametrize(
    'op', ['rotate', 'resize(9)', 'random_crop(9)', 'pad(99)', 'elastic']
)
def test_nothing_but_a_flip_moves_the_pixels_of_a_crop_with_context(op):
  transforms.parse('random_crop(9, halo=2)|flip|normalize')
  name = op.partition('(')[0]
  with pytest.raises(ValueError, match=f'^{name} must come before the crop wi'):
    transforms.parse(f'random_crop(9, halo=2)|flip|{op}')


def test_padding_keeps_the_context_around_a_label():
  features = run('random_crop(80, 90, halo=5)|flip', example())
  padded = transforms.Pad(80, 90).map(features)
  assert padded['label'].shape == (80, 90)
  assert padded['image'].shape == (90, 100, 3)
  np.testing.assert_array_equal(padded['image'][:58, :74], features['image'])
  assert (padded['label'][48:] == 255).all()


def border_distance(mask):
  """Of each pixel to the nearest one of a part that touches what is not."""
  wide = np.pad(mask, 1, 'edge')
  inside = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
  border = np.argwhere(mask & ~inside)
  pixels = np.stack(np.indices(mask.shape), -1)
  return np.sqrt(np.square(pixels[:, :, None] - border).sum(-1).min(-1))


def test_border_weights_are_those_of_the_formula():
  label = np.zeros((24, 30), np.uint8)
  cells = np.s_[2:9, 3:12], np.s_[2:9, 14:25], np.s_[11:22, 5:20]
  for cell in cells:
    label[cell] = 1
  label[15:, 22:] = 2  # Another class is another object.
  label[0, :] = 255
  masks = [np.zeros(label.shape, bool) for _ in range(4)]
  for mask, cell in zip(masks, (*cells, np.s_[15:, 22:]), strict=True):
    mask[cell] = True
  d1, d2, *_ = np.sort([border_distance(mask) for mask in masks], axis=0)
  classes = [label == c for c in range(3)]
  valid = label != 255
  expected = sum(c * valid.sum() / (3 * c.sum()) for c in classes)
  expected = expected + 7 * np.exp(-((d1 + d2) ** 2) / (2 * 3.0**2))

  weight = run('border_weights(7.0, sigma=3.0)', {'label': label})['weight']
  assert weight.dtype == np.float32
  np.testing.assert_allclose(weight, expected * valid, rtol=1e-5)
  assert weight[5, 12] > 5 * weight[12, 1]  # Between two cells, and far away.


def test_objects_of_border_weights_may_be_one_class():
  label = np.zeros((20, 20), np.uint8)
  label[:, :9], label[:, 11:] = 1, 2
  both = run('border_weights', {'label': label})['weight']
  one = run('border_weights(objects=(1,))', {'label': label})['weight']
  assert both[10, 10] > one[10, 10] + 5
  shares = np.array([2, 9, 9]) / 20
  np.testing.assert_allclose(one, (1 / (3 * shares))[label], rtol=1e-6)


@pytest.mark.parametrize('label', [0, 1, 255])
def test_border_weights_of_a_label_of_one_value_are_even(label):
  label = np.full((9, 9), label, np.uint8)
  weight = run('border_weights', {'label': label})['weight']
  np.testing.assert_array_equal(weight, np.float32(label != 255))


@pytest.mark.parametrize(
    'op', ['flip', 'rotate', 'resize(9)', 'random_crop(9)', 'pad(99)']
)
def test_nothing_moves_pixels_after_border_weights(op):
  name = op.partition('(')[0]
  with pytest.raises(ValueError, match=f'^{name} must come before border_wei'):
    transforms.parse(f'border_weights|normalize|{op}')


def test_pixels_that_are_padded_weigh_nothing():
  features = transforms.Pad(60, 70).map(run('border_weights', example()))
  assert features['weight'].shape == (60, 70)
  assert not features['weight'][features['label'] == 255].any()
  assert features['weight'][features['label'] != 255].all()


def test_blur_smooths_by_a_sigma_of_its_range():
  features = example()
  rng = np.random.default_rng(0)
  rng.random()
  expected = cv2.GaussianBlur(features['image'], (0, 0), rng.uniform(0.5, 1.0))
  np.testing.assert_array_equal(run('blur(1.0)', features)['image'], expected)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_gamma_is_a_power_of_the_brightness(dtype):
  top = np.iinfo(dtype).max
  image = np.linspace(0, top, 999).astype(dtype).reshape(27, 37, 1)
  for seed in range(5):
    rng = np.random.default_rng(seed)
    rng.random()
    expected = top * (image / top) ** rng.uniform(0.5, 2.0)
    found = run('gamma(1.0, low=0.5, high=2.0)', {'image': image}, seed)[
        'image'
    ]
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.5)


def test_clahe_brings_out_what_dark_parts_of_an_image_hide():
  features = example()
  dark = {**features, 'image': features['image'] // 8}
  for channels in (1, 3):
    image = dark['image'][..., :channels]
    found = run('clahe(1.0, limit=4.0, tiles=2)', {'image': image}, 1)['image']
    assert found.dtype == np.uint8
    assert found.shape == image.shape
    assert found.std() > 1.5 * image.std()
  # Hues stay.
  grey = np.repeat(dark['image'][..., :1], 3, 2)
  found = run('clahe(1.0)', {'image': grey})['image']
  assert np.ptp(found.astype(int), axis=2).max() <= 1


@pytest.mark.parametrize(
    ('spec', 'channels', 'dtype', 'message'),
    [
        ('gamma(1.0)', 3, np.float32, 'before normalize; this is float32'),
        ('clahe(1.0)', 3, np.uint16, 'this is uint16 with 3 channels'),
        ('clahe(1.0)', 4, np.uint8, 'this is uint8 with 4 channels'),
    ],
)
def test_gamma_and_clahe_refuse_other_images(spec, channels, dtype, message):
  with pytest.raises(ValueError, match=message):
    run(spec, example(channels=channels, dtype=dtype))


def test_cutout_blanks_rectangles_of_the_image_alone():
  features = example(40, 60)
  features['image'] = np.ones_like(features['image'])
  for seed in range(20):
    cut = run('cutout(1.0, holes=1, ratio=0.5)', features, seed)
    np.testing.assert_array_equal(cut['label'], features['label'])
    rows, columns, _ = np.nonzero(cut['image'] == 0)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert rows.size == height * width * 3
    assert height == min(20, 40 - rows.min())
    assert width == min(30, 60 - columns.min())


def test_the_border_is_cut_off_alike_on_opposite_sides():
  cuts = set()
  for seed in range(40):
    cut = run('cut_border(1.0, 3)', example(40, 60), seed)
    assert cut['image'].shape == (40, 60, 3)
    found = [
        (rows, columns)
        for rows in range(4)
        for columns in range(4)
        if same(
            cut,
            run('resize(40, 60)', inner(example(40, 60), rows, columns)),
        )
    ]
    assert len(found) == 1
    cuts.update(found)
  assert {n for cut in cuts for n in cut} == {0, 1, 2, 3}
  assert len(cuts) > 10
  # Of a small image, something is left.
  for seed in range(20):
    assert run('cut_border(1.0, 9)', example(4, 60), seed)['label'].any()


def inner(features, rows, columns):
  """An example without its first and last rows and columns."""
  height, width = features['label'].shape
  window = slice(rows, height - rows), slice(columns, width - columns)
  return {name: features[name][window] for name in ('image', 'label')}


def distorted(image, rng):
  """mmseg's PhotoMetricDistortion, step by step."""

  def linear(array, alpha=1, beta=0):
    array = array.astype(np.float32) * alpha + beta
    return np.clip(array, 0, 255).astype(np.uint8)

  def contrast(image):
    return linear(image, rng.uniform(0.5, 1.5)) if rng.integers(2) else image

  last = rng.integers(2)
  if rng.integers(2):
    image = linear(image, beta=rng.uniform(-32, 32))
  if not last:
    image = contrast(image)
  if rng.integers(2):
    hsv = cv2.cvtColor(image[..., ::-1], cv2.COLOR_BGR2HSV)
    hsv[..., 1] = linear(hsv[..., 1], rng.uniform(0.5, 1.5))
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[..., ::-1]
  if rng.integers(2):
    hsv = cv2.cvtColor(image[..., ::-1], cv2.COLOR_BGR2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + rng.integers(-18, 18)) % 180
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[..., ::-1]
  return contrast(image) if last else image


def test_photometric_equals_mmseg_step_by_step():
  image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
  for seed in range(100):
    expected = distorted(image, np.random.default_rng(seed))
    result = run('photometric', {'image': image}, seed)['image']
    np.testing.assert_array_equal(result, expected)


def test_photometric_changes_brightness_and_contrast_of_grey_images():
  image = np.random.default_rng(0).integers(0, 256, (16, 16, 1), np.uint8)
  changed = [
      run('photometric', {'image': image}, s)['image'] for s in range(20)
  ]
  assert {c.shape for c in changed} == {(16, 16, 1)}
  assert any((c != image).any() for c in changed)


@pytest.mark.parametrize(
    ('channels', 'dtype'), [(2, np.uint8), (3, np.uint16), (3, np.float32)]
)
def test_photometric_refuses_other_images(channels, dtype):
  with pytest.raises(ValueError, match=f'{np.dtype(dtype)} with {channels}'):
    run('photometric', example(channels=channels, dtype=dtype))


@pytest.mark.parametrize(
    ('channels', 'dtype', 'mean', 'std'),
    [
        (3, np.uint8, color.IMAGENET_MEAN, color.IMAGENET_STD),
        (3, np.uint16, (1000.0, 2000.0, 3000.0), (10.0, 20.0, 30.0)),
        (1, np.uint8, 127.5, 127.5),
        (5, np.float32, 0.5, (1.0, 2.0, 3.0, 4.0, 5.0)),
    ],
)
def test_normalize_subtracts_the_mean_and_divides(channels, dtype, mean, std):
  image = example(channels=channels, dtype=dtype)['image']
  result = run(f'normalize({mean}, {std})', {'image': image})['image']
  assert result.dtype == np.float32
  expected = (image.astype(np.float64) - mean) / std
  np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('spec', 'channels', 'dtype'),
    [
        ('normalize', 1, np.uint8),
        ('normalize', 4, np.uint8),
        ('normalize', 3, np.uint16),
        ('normalize', 3, np.float32),
        ('normalize((1, 2), 1)', 3, np.uint8),
    ],
)
def test_normalize_refuses_statistics_of_other_images(spec, channels, dtype):
  with pytest.raises(ValueError, match=f'{channels} channels; give them'):
    run(spec, example(channels=channels, dtype=dtype))


def test_bgr_reverses_the_channels_and_takes_three():
  image = example()['image']
  np.testing.assert_array_equal(
      run('bgr', {'image': image})['image'], image[..., ::-1]
  )
  with pytest.raises(ValueError, match='bgr takes RGB; this has 4 channels'):
    run('bgr', example(channels=4))


@pytest.mark.parametrize(
    'spec',
    [
        'random_scale(0.5, 2.0)|random_crop(50, 70)',
        'random_short((40, 70), 90)|random_crop(50, 70)',
        'random_scale(0.9, 1.1)|random_crop(64)',
        'random_scale(0.5, 2.0, 0.25)|class_balanced_crop(50, 70)',
        'resize(333, 77)|random_crop(64)',
        "resize(90, mode='short')|random_crop(64)|flip",
        'random_scale(0.3, 1.0)|random_crop(64, 90, halo=40)|flip',
    ],
)
def test_fused_equals_one_op_after_the_other(spec):
  features = example(151, 203)
  ops = transforms.parse(spec)
  fused = transforms.fuse(ops)
  assert len(fused) == len(ops) - 1
  for seed in range(40):
    slow = transforms.apply(ops, features, np.random.default_rng(seed))
    fast = transforms.apply(fused, features, np.random.default_rng(seed))
    np.testing.assert_array_equal(slow['label'], fast['label'])
    error = np.abs(slow['image'].astype(int) - fast['image'])
    assert error.max() <= 1


def test_fuse_takes_resizings_right_before_a_crop_alone():
  spec = 'flip|resize(70)|random_scale|random_crop(50)|random_scale|flip|pad(9)'
  ops = transforms.parse(spec)
  fused = transforms.fuse(ops)
  crop = transforms.ScaledCrop(ops[1:3], ops[3])
  assert fused == (ops[0], crop, *ops[4:])


@pytest.mark.parametrize(
    ('spec', 'size'),
    [
        ('random_scale|random_crop(5, 6)|flip|normalize', (5, 6)),
        ('random_crop(5)|resize(8, 9)|rotate', (8, 9)),
        ("resize(7, mode='long')|pad(7)", (7, 7)),
    ],
)
def test_static_size_is_that_of_the_last_op_that_sets_one(spec, size):
  assert transforms.static_size(transforms.parse(spec)) == size


@pytest.mark.parametrize(
    'spec', ['flip', 'random_crop(5)|random_scale', "resize(7, mode='short')"]
)
def test_a_spec_without_static_size_is_an_error(spec):
  with pytest.raises(ValueError, match='must be a random_crop'):
    transforms.static_size(transforms.parse(spec))
