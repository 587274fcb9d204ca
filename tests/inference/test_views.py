import cv2
import jax
import numpy as np
import pytest

from segjax import models
from segjax.data.datasets import Dataset
from segjax.data.label_map import LabelMap
from segjax.data.label_map import default_colors
from segjax.data.pipeline import eval_examples
from segjax.inference import bands
from segjax.inference import whole
from segjax.inference import windows
from segjax.inference.views import WEIGHTS
from segjax.inference.views import Inference
from segjax.inference.views import predict
from segjax.ops.resize import resize

CLASSES = 4
RNG = np.random.default_rng(0)
PIXEL = RNG.normal(size=(3, CLASSES)).astype(np.float32)
CONTEXT = RNG.normal(size=(3, CLASSES)).astype(np.float32)


def pointwise(images):
  """Logits of a pixel depend on that pixel alone."""
  return images @ PIXEL


def with_context(images):
  """Logits of a pixel depend on all that the network is shown, and where."""
  ramp = np.linspace(0, 1, images.shape[2])[:, None]
  context = images.mean((1, 2), keepdims=True) @ CONTEXT
  return images @ PIXEL + 9 * context + np.float32(ramp * np.arange(CLASSES))


def with_margin(images):
  """As `with_context`, for the middle of what it is shown."""
  return with_context(images)[:, 7:-7, 7:-7]


def of_batch(forward):
  """Returns the forward pass of batches that one of images is."""
  return lambda batch: {'logits': forward(batch['image'])}


def example(size=(30, 44), label=None, name='a', seed=0):
  image = np.random.default_rng(seed).normal(size=(*size, 3))
  image = cv2.GaussianBlur(image.astype(np.float32), (7, 7), 2)
  return {'image': image, 'size': label or size, 'name': name}


def one(forward, example, **options):
  ((_, prediction),) = predict(
      of_batch(forward), [example], Inference(**options), probabilities=True
  )
  labels, probabilities = prediction['labels'], prediction['probabilities']
  assert labels.dtype == np.uint8
  assert labels.shape == example['size']
  np.testing.assert_array_equal(labels, probabilities.argmax(-1))
  return probabilities


def bell(window):
  return np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2


def manual(forward, example, options):
  """What `predict` promises, with all logits of the image in memory."""
  total = 0
  for scale in options.scales:
    for mirrored in (False, True)[: 1 + options.flip]:
      image = example['image']
      h, w = (int(n * scale + 0.5) for n in image.shape[:2])
      if scale != 1:
        image = cv2.resize(image, (w, h))
      if mirrored:
        image = image[:, ::-1]
      window, stride = options.window, options.stride
      if options.mode == 'whole':
        unit = options.pad_to
        window = stride = -(-h // unit) * unit, -(-w // unit) * unit
      bottom, right = max(window[0] - h, 0), max(window[1] - w, 0)
      m = options.halo
      edges = (m, bottom + m), (m, right + m), (0, 0)
      image = np.pad(image, edges, 'reflect' if m else 'constant')
      h1, w1 = h + bottom, w + right
      weight = np.ones(window)
      if options.weights == 'hann':
        weight = np.outer(bell(window[0]), bell(window[1]))
      logits = np.zeros((h1, w1, CLASSES))
      count = np.zeros((h1, w1, 1))
      y = x = 0
      while True:
        y1, x1 = min(y, h1 - window[0]), min(x, w1 - window[1])
        seen = slice(y1, y1 + window[0]), slice(x1, x1 + window[1])
        shown = image[y1 : y1 + window[0] + 2 * m, x1 : x1 + window[1] + 2 * m]
        logits[seen] += weight[..., None] * forward(shown[None])[0]
        count[seen] += weight[..., None]
        x += stride[1]
        if x1 + window[1] >= w1:
          if y1 + window[0] >= h1:
            break
          x, y = 0, y + stride[0]
      logits = (logits / count)[:h, :w]
      if mirrored:
        logits = logits[:, ::-1]
      logits = resize(logits[None].astype(np.float32), example['size'])
      total = total + jax.nn.softmax(logits)[0]
  return total / (len(options.scales) * (1 + options.flip))


SLIDE = {'mode': 'slide', 'window': (16, 20), 'stride': (11, 13)}


@pytest.mark.parametrize(
    ('label', 'options'),
    [
        ((30, 44), {'pad_to': 16, 'flip': True}),
        ((71, 50), {'scales': (0.5, 1.25), 'flip': True, 'pad_to': 8}),
        ((11, 90), {'scales': (0.5, 1.25)}),
        ((30, 44), SLIDE),
        ((71, 50), {**SLIDE, 'pad_to': 8, 'batch_size': 3}),
        ((7, 90), {**SLIDE, 'window': (3, 20), 'stride': (2, 20)}),
        ((30, 44), {**SLIDE, 'weights': 'hann', 'flip': True}),
        ((71, 50), {**SLIDE, 'scales': (0.5, 1.75), 'flip': True}),
        ((11, 90), {**SLIDE, 'scales': (0.5, 1.25), 'pad_to': 8}),
        ((30, 44), {**SLIDE, 'window': (7, 64), 'stride': (7, 1)}),
        ((50, 30), {**SLIDE, 'window': (64, 64), 'flip': True}),
        ((30, 44), {**SLIDE, 'window': (1, 9), 'stride': (1, 9)}),
    ],
    ids=str,
)
def test_probabilities_equal_those_computed_by_hand(label, options):
  shown = example(label=label)
  np.testing.assert_allclose(
      one(with_context, shown, **options),
      manual(with_context, shown, Inference(**options)),
      atol=2e-5,
  )


def test_other_outputs_are_averaged_as_they_are():
  shown, options = example(), dict(scales=(1.0, 0.5), flip=True)

  def squares(images):
    return np.square(with_context(images))[..., :2]

  def both(batch):
    image = batch['image']
    return {'logits': with_context(image), 'variance': squares(image)}

  ((_, prediction),) = predict(
      both, [shown], Inference(**options), probabilities=True
  )
  soft = prediction['probabilities']
  np.testing.assert_allclose(
      soft, one(with_context, shown, **options), rtol=1e-5
  )
  np.testing.assert_array_equal(prediction['labels'], soft.argmax(-1))
  views = []
  for size in ((30, 44), (15, 22)):
    for step in (1, -1):
      image = cv2.resize(shown['image'], size[::-1])[:, ::step]
      view = squares(image[None])[:, :, ::step]
      views.append(resize(view, (30, 44))[0])
  np.testing.assert_allclose(
      prediction['variance'], np.mean(views, 0), rtol=1e-4, atol=1e-5
  )


@pytest.mark.parametrize(
    ('label', 'options'),
    [
        ((30, 44), {'flip': True}),
        ((30, 44), {'pad_to': 16}),
        ((5, 6), {'scales': (0.5, 1.25), 'flip': True}),
        ((71, 50), {**SLIDE, 'pad_to': 8, 'batch_size': 3}),
        ((11, 90), {**SLIDE, 'scales': (0.5, 1.25), 'flip': True}),
        ((50, 30), {**SLIDE, 'window': (64, 64), 'weights': 'hann'}),
    ],
    ids=str,
)
def test_windows_are_larger_by_the_margin_and_mirrored_beyond_the_image(
    label, options
):
  options, shown = {**options, 'halo': 7}, example(label=label)
  np.testing.assert_allclose(
      one(with_margin, shown, **options),
      manual(with_margin, shown, Inference(**options)),
      atol=2e-5,
  )


@pytest.mark.parametrize('flip', [False, True])
def test_tiles_of_an_unpadded_network_equal_the_whole_image(
    random_variables, flip
):
  model = models.create(
      'unet', CLASSES, width=1, padded=False, dropout=0.0, aux_level=''
  )
  variables = random_variables(model, (1, 188, 188, 3))
  forward = jax.jit(lambda images: model.apply(variables, images)['logits'])
  # Windows of these sizes and distances keep the squares of all poolings.
  shown, options = example((68, 84)), {'halo': 92, 'flip': flip}
  whole = one(forward, shown, **options)
  for batch_size in (1, 3):
    tiles = one(
        forward,
        shown,
        mode='slide',
        window=(20, 36),
        stride=(16, 32),
        batch_size=batch_size,
        **options,
    )
    np.testing.assert_allclose(tiles, whole, atol=1e-5)


@pytest.mark.parametrize('length', [1, 2, 5, 30])
def test_a_mirrored_axis_is_that_of_numpy(length):
  expected = np.pad(np.arange(length), (9, 13), 'reflect')
  np.testing.assert_array_equal(
      windows.reflect(-9, length + 13, length), expected
  )


def test_windows_of_a_pointwise_network_equal_the_whole_image():
  whole = one(pointwise, example())
  for weights in WEIGHTS:
    slide = one(pointwise, example(), **SLIDE, weights=weights)
    np.testing.assert_allclose(slide, whole, atol=1e-6)


def test_the_mirror_image_of_an_equivariant_network_changes_nothing():
  single = one(pointwise, example(), pad_to=8)
  mirrored = one(pointwise, example(), pad_to=8, flip=True)
  np.testing.assert_allclose(mirrored, single, atol=1e-6)


@pytest.mark.parametrize(
    ('length', 'window', 'stride', 'starts'),
    [
        (1024, 769, 513, [0, 255]),
        (2048, 769, 513, [0, 513, 1026, 1279]),
        (512, 512, 341, [0]),
        (853, 512, 341, [0, 341]),
        (854, 512, 341, [0, 341, 342]),
        (100, 512, 341, [0]),
    ],
)
def test_windows_start_where_those_of_mmsegmentation_do(
    length, window, stride, starts
):
  assert windows.grid(length, window, stride) == starts


@pytest.mark.parametrize('weights', WEIGHTS)
@pytest.mark.parametrize('length', [5, 16, 17, 40, 100])
def test_weights_of_windows_sum_to_one_at_every_pixel(weights, length):
  total = np.zeros(max(length, 16))
  for start, share in windows.windows(length, 16, 11, weights):
    assert (share > 0).all()
    total[start : start + 16] += share
  np.testing.assert_allclose(total, 1, rtol=1e-6)


@pytest.mark.parametrize(('old', 'new'), [(7, 7), (9, 31), (31, 9), (1, 5)])
def test_taps_are_those_of_resize(old, new):
  row = np.random.default_rng(0).normal(size=old).astype(np.float32)
  expected = resize(row.reshape(1, old, 1, 1), (new, 1)).ravel()
  for mirrored in (False, True):
    shown = np.append(row[::-1] if mirrored else row, 0)
    low, fraction = windows.taps(0, new, old, new, old * mirrored)
    value = shown[low] * (1 - fraction) + shown[low + 1] * fraction
    np.testing.assert_allclose(value, expected, atol=1e-6)
    middle = windows.taps(2, new - 2, old, new, old * mirrored)
    np.testing.assert_array_equal(middle, (low[2:], fraction[2:]))


STREAM = [
    example((20, 30), name='a', seed=1),
    example((17, 30), name='b', seed=2, label=(40, 40)),
    example((20, 30), name='c', seed=3),
    example((33, 21), name='d', seed=4),
    example((20, 30), name='e', seed=5),
]


@pytest.mark.parametrize(
    'options',
    [{'pad_to': 8}, {**SLIDE, 'weights': 'hann'}, {'scales': (0.5, 1.0)}],
    ids=str,
)
def test_labels_depend_neither_on_batch_size_nor_on_neighbours(options):
  alone = {x['name']: one(with_context, x, **options) for x in STREAM}
  for batch_size in (1, 3, 4, 16):
    for stream in (STREAM, STREAM[::-1]):
      results = list(
          predict(
              of_batch(with_context),
              stream,
              Inference(**options, batch_size=batch_size),
              probabilities=True,
          )
      )
      assert {x['name'] for x, *_ in results} == set(alone)
      assert len(results) == len(alone)
      for shown, prediction in results:
        expected = alone[shown['name']]
        soft, labels = prediction['probabilities'], prediction['labels']
        np.testing.assert_allclose(soft, expected, atol=1e-6)
        np.testing.assert_array_equal(labels, expected.argmax(-1))


def test_images_of_one_shape_share_batches_and_keep_their_order():
  batches = []

  def forward(images):
    batches.append(images.shape)
    return pointwise(images)

  stream = [example(name=i, seed=i) for i in range(7)]
  results = predict(of_batch(forward), stream, Inference(batch_size=3))
  assert [x['name'] for x, *_ in results] == list(range(7))
  assert batches == [(3, 30, 44, 3)] * 3


def test_few_images_are_under_way_however_many_shapes_there_are():
  taken = []

  def stream():
    for i in range(30):
      taken.append(i)
      yield example((8 + i % 5, 8), name=i)

  done = 0
  for _ in predict(of_batch(pointwise), stream(), Inference(batch_size=2)):
    assert len(taken) - done <= 4
    done += 1
  assert done == 30


@pytest.mark.parametrize('height', [64, 4096])
def test_memory_of_logits_does_not_grow_with_the_height(height, monkeypatch):
  shapes = []
  keep = bands._add

  def add(band, *rest):
    shapes.append(band['logits'].shape)
    return keep(band, *rest)

  monkeypatch.setattr(bands, '_add', add)
  shown = example((height, 24))
  ((_, prediction),) = predict(
      of_batch(pointwise),
      [shown],
      Inference('slide', (16, 24), (12, 24), batch_size=64),
  )
  assert {shape[0] for shape in shapes} == {16 + 1 + 16}
  np.testing.assert_array_equal(
      prediction['labels'], pointwise(shown['image']).argmax(-1)
  )


def test_labels_have_the_size_of_the_label():
  shown = {**example(), 'label': np.zeros((50, 61), np.uint8)}
  ((same, prediction),) = predict(of_batch(pointwise), [shown], Inference())
  assert same is shown
  assert prediction['labels'].shape == (50, 61)
  assert prediction.keys() == {'labels'}


@pytest.mark.parametrize('channels', [1, 6])
def test_images_may_have_any_number_of_channels(channels):
  image = np.ones((9, 8, channels), np.float32)
  ((_, prediction),) = predict(
      of_batch(lambda x: x[..., :1] * np.float32([1, 3, 2])),
      [{'image': image, 'size': (9, 8)}],
      Inference(scales=(2.0,)),
  )
  np.testing.assert_array_equal(prediction['labels'], 1)


def test_a_prediction_that_is_not_finite_names_the_image():
  broken = example(name='street/17')
  broken['image'][3, 4, 0] = np.nan
  with pytest.raises(ValueError, match="'street/17' are not finite"):
    list(
        predict(
            of_batch(pointwise), [example(), broken], Inference(batch_size=2)
        )
    )


def test_logits_of_another_size_than_the_image_are_refused():
  with pytest.raises(
      ValueError, match=r'\(1, 30, 44, 3\) into logits .*15, 22, 3'
  ):
    list(predict(of_batch(lambda x: x[:, ::2, ::2]), [example()], Inference()))
  with pytest.raises(ValueError, match='a halo of 3 on each side'):
    list(predict(of_batch(pointwise), [example()], Inference(halo=3)))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'mode': 'full'}, "mode='full' is not one of"),
        ({'weights': 'gauss'}, "weights='gauss' is not one of"),
        ({'stride': (341, 513)}, 'no larger than window'),
        ({'stride': (0, 341)}, 'must be positive'),
        ({'scales': ()}, r'scales=\(\) must be'),
        ({'scales': (1.0, 0.0)}, 'must be positive'),
        ({'batch_size': 0}, 'batch_size=0 must be at least 1'),
        ({'pad_to': 0}, 'pad_to=0 must be at least 1'),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    Inference(**options)


@pytest.mark.parametrize(
    'options',
    [{'flip': True}, SLIDE, {'scales': (1.0, 2.0)}, {'pad_to': 16}],
    ids=str,
)
def test_other_fields_are_seen_through_the_same_windows(options):
  shown = example()
  blocks = np.random.default_rng(0).integers(0, CLASSES, (5, 4))
  label = np.kron(blocks, np.ones((6, 11), int))
  shown['proposals'] = np.uint8(label[..., None] == np.arange(200) % CLASSES)
  shown['overlaps'] = np.float32([1, 2])

  def forward(batch):
    assert batch['proposals'].dtype == np.uint8
    assert batch['proposals'].shape[:3] == batch['image'].shape[:3]
    assert (batch['overlaps'] == [1, 2]).all()
    return {'logits': np.float32(9) * batch['proposals'][..., 100 : 100 + 4]}

  reads = ('image', 'proposals', 'overlaps')
  ((_, prediction),) = predict(
      forward, [shown], Inference(**options, reads=reads)
  )
  np.testing.assert_array_equal(prediction['labels'], label)


def test_a_field_that_an_example_lacks_is_named():
  options = Inference(reads=('image', 'proposals'))
  with pytest.raises(ValueError, match='reads the field proposals'):
    next(predict(of_batch(pointwise), [example()], options))


class Checkers(Dataset):
  """One image from which the class can be read, and its label."""

  split = 'val'
  channels = 3
  label_map = LabelMap(('a', 'b'), default_colors(2), {0: 0, 1: 1})

  def __len__(self):
    return 1

  def __getitem__(self, index):
    y, x = np.mgrid[:64, :80]
    label = ((y // 16 + x // 16) % 2).astype(np.uint8)
    image = np.repeat(label[..., None] * 200, 3, 2).astype(np.uint8)
    return {'image': image, 'label': label, 'name': 'checkers'}


def read_off(batch):
  """Logits of a perfect model."""
  grey = batch['image'][..., :1]
  return {'logits': np.concatenate([100 - grey, grey - 100], -1)}


@pytest.mark.parametrize('spec', ['pad(96, 112)', 'pad(64, 81)|pad(200, 96)'])
@pytest.mark.parametrize(
    'options',
    [
        {},
        {'flip': True},
        {'pad_to': 32, 'flip': True},
        {'mode': 'slide', 'window': (40, 40), 'stride': (24, 24), 'flip': True},
        {'scales': (1.0, 2.0), 'flip': True},
    ],
    ids=str,
)
def test_a_perfect_model_is_perfect_on_padded_images(spec, options):
  examples = eval_examples(Checkers(), f'{spec}|normalize(0.0, 1.0)')
  ((example, found),) = predict(read_off, examples, Inference(**options))
  np.testing.assert_array_equal(found['labels'], example['label'])


def test_padding_that_is_resized_is_cut_off_too():
  spec = 'pad(96, 112)|resize(192, 224)|normalize(0.0, 1.0)'
  examples = eval_examples(Checkers(), spec)
  ((example, found),) = predict(read_off, examples, Inference())
  np.testing.assert_array_equal(found['labels'], example['label'])


def test_a_task_on_whole_images_is_freed_of_padding_too():
  examples = eval_examples(Checkers(), 'pad(96, 112)|normalize(0.0, 1.0)')

  def forward(batch):
    return {'segments': (batch['image'][..., 0] > 100).astype(np.int32)}

  ((example, found),) = whole.predict(forward, examples, Inference())
  np.testing.assert_array_equal(found['segments'], example['label'])


def test_short_sides_are_scales_that_depend_on_the_image():
  for size, scales in (((30, 44), (0.5, 1.5)), ((44, 30), (0.5, 1.5))):
    shown = example(size)
    np.testing.assert_array_equal(
        one(with_context, shown, short_sides=(15, 45), flip=True),
        one(with_context, shown, scales=scales, flip=True),
    )
  shown = example((20, 60))
  np.testing.assert_array_equal(
      one(with_context, shown, short_sides=(10, 40), longest=90),
      one(with_context, shown, scales=(0.5, 1.5)),
  )


def test_sizes_of_prediction_are_told_in_one_way():
  with pytest.raises(ValueError, match='give one of them'):
    Inference(scales=(0.5,), short_sides=(300,))
  with pytest.raises(ValueError, match='lengths in pixels'):
    Inference(short_sides=(300, 0))
