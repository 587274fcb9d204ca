import subprocess
import sys

import jax
from jax.extend import core
import numpy as np
import pytest

from segjax import evaluate
from segjax import experiment
from segjax import export
from segjax import predict
from segjax.artifacts import exported
from segjax.artifacts import portable
from segjax.data import image as images
from segjax.data import transforms
from segjax.data.datasets import shapes
from segjax.exported import ExportedPredictor
from tests import saved_run
from tests import tiny

SIZE = (32, 48)
# What a user without segjax does with the file.
ALONE = """
import sys, zipfile
import jax, numpy as np
with zipfile.ZipFile(sys.argv[1]) as archive:
  model = jax.export.deserialize(bytearray(archive.read('module')))
outputs = model.call(np.load(sys.argv[2]))
assert not any(name.split('.')[0] in ('segjax', 'flax') for name in sys.modules)
np.savez(sys.argv[3], **outputs)
"""


@pytest.fixture(scope='module')
def workdir(tmp_path_factory, random_variables):
  """A run with weights of no meaning."""
  config = tiny.get_config()
  model = experiment.model(config, shapes.LABEL_MAP)
  variables = random_variables(model, (1, *SIZE, 3))
  return saved_run.save(tmp_path_factory.mktemp('run'), config, variables)


@pytest.fixture(scope='module')
def file(workdir, tmp_path_factory):
  path = tmp_path_factory.mktemp('exported') / 'model.stablehlo'
  export.write(workdir, path, SIZE, batch=2)
  return path


@pytest.fixture(scope='module')
def expected(workdir):
  """Images, and what the run predicts of them."""
  predictor = predict.load(workdir.path)
  scenes = shapes.load('val', size=SIZE, length=3)
  found = [scene['image'] for scene in scenes]
  return found, [predictor(image) for image in found]


def test_it_predicts_what_the_run_does(file, expected):
  model = ExportedPredictor(file)
  pictures, predictions = expected
  examples = [
      {'image': image, 'name': str(i)} for i, image in enumerate(pictures)
  ]
  found = list(model.stream(examples, probabilities=True))
  assert [example['name'] for example, _ in found] == ['0', '1', '2']
  for (_, prediction), (labels, probabilities) in zip(
      found, predictions, strict=True
  ):
    np.testing.assert_allclose(
        prediction['probabilities'], probabilities, atol=1e-4
    )
    assert (prediction['labels'] == labels).mean() > 0.999


def test_it_runs_with_jax_alone(file, expected, tmp_path):
  pictures, predictions = expected
  np.save(tmp_path / 'images.npy', np.stack(pictures[:2]))
  arguments = [file, tmp_path / 'images.npy', tmp_path / 'outputs.npz']
  subprocess.run(
      [sys.executable, '-c', ALONE, *map(str, arguments)],
      check=True,
      cwd=tmp_path,
  )
  with np.load(tmp_path / 'outputs.npz') as outputs:
    assert outputs['labels'].dtype == np.uint8
    np.testing.assert_allclose(
        outputs['probabilities'][1], predictions[1][1], atol=1e-4
    )


def test_images_of_other_sizes_are_resized_and_back(file, tmp_path):
  big = shapes.load('val', size=(64, 96), length=1)[0]['image']
  images.write_png(tmp_path / 'big.png', big)
  predict.write(
      ExportedPredictor(file), [tmp_path / 'big.png'], tmp_path / 'out'
  )
  mask = images.read_mask(tmp_path / 'out' / 'big.png')
  assert mask.shape == (64, 96)
  ((_, small),) = ExportedPredictor(file).stream(
      [{'image': big[::2, ::2], 'name': 'small'}]
  )
  # Nearly the same pixels, and so nearly the same classes.
  assert (mask[::2, ::2] == small['labels']).mean() > 0.8


def test_its_score_is_that_of_the_run(workdir, file):
  config = tiny.get_config()
  config.dataset.options.length = 4
  before = evaluate.run(config, workdir)
  after = evaluate.run_exported(config, workdir, file)
  assert after['mIoU'] == pytest.approx(before['mIoU'], abs=1e-3)


@pytest.mark.parametrize(
    'spec',
    [
        'normalize',
        "resize(40, mode='short')|normalize|bgr",
        'normalize((120.0, 110.0, 100.0), 60.0)|pad(40, 64)',
    ],
)
def test_preprocessing_is_that_of_an_evaluation(spec):
  image = shapes.load('val', size=SIZE, length=1)[0]['image']
  ops = transforms.parse(spec)
  ours, content = export.prepared(ops, image[None])
  theirs = transforms.apply(ops, {'image': image})
  np.testing.assert_allclose(ours[0], theirs['image'], atol=0.03)
  assert content == tuple(theirs.get('content', theirs['image'].shape[:2]))


def test_preprocessing_without_counterpart_is_refused():
  ops = transforms.parse('normalize|elastic')
  with pytest.raises(ValueError, match='cannot be exported: resize, pad'):
    export.prepared(ops, np.zeros((1, *SIZE, 3)))


def test_nothing_is_overwritten_and_bad_files_are_named(
    workdir, file, tmp_path
):
  with pytest.raises(FileExistsError, match='choose another name'):
    export.write(workdir, file, SIZE)
  with pytest.raises(ValueError, match=r'ends with \.stablehlo'):
    export.write(workdir, tmp_path / 'model.pb', SIZE)
  half = tmp_path / 'half.stablehlo'
  half.write_bytes(file.read_bytes()[:1000])
  with pytest.raises(ValueError, match='half.stablehlo is no model'):
    ExportedPredictor(half)
  with pytest.raises(FileNotFoundError, match='no exported model'):
    ExportedPredictor(tmp_path / 'none.stablehlo')
  image = jax.ShapeDtypeStruct((*SIZE, 3), np.uint16)
  example = {'image': np.zeros(image.shape, image.dtype), 'name': 'a'}
  with pytest.raises(ValueError, match='a holds uint16'):
    list(ExportedPredictor(file).stream([example]))


def test_the_name_tells_the_format(workdir, tmp_path):
  formats = {
      name: exported.format_of(tmp_path / name).__name__.rpartition('.')[2]
      for name in ('a.stablehlo', 'a.onnx', 'a.tflite', 'folder')
  }
  assert list(formats.values()) == [
      *('stablehlo', 'onnx', 'tflite', 'savedmodel')
  ]
  with pytest.raises(ValueError, match=r'--int8=3 is for TFLite'):
    export.write(workdir, tmp_path / 'a.onnx', SIZE, int8=3)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['model.onnx', 'model.tflite'])
def test_a_runtime_that_lacks_is_named(name, tmp_path, monkeypatch):
  for package in ('onnx', 'onnxruntime', 'ai_edge_litert.interpreter'):
    monkeypatch.setitem(sys.modules, package, None)
  (tmp_path / name).write_bytes(b'a model')
  with pytest.raises(ValueError, match=r"pip install 'segjax\[export\]'"):
    exported.read(tmp_path / name)


def test_a_rewritten_program_predicts_what_the_run_does(workdir, expected):
  pictures, predictions = expected
  function, about = export.function(workdir, SIZE, dtype='float32')
  images = jax.ShapeDtypeStruct(about.shape, np.dtype(about.dtype))
  program, results = portable.rewrite(function, images)
  assert sorted(results) == ['labels', 'probabilities']
  counts = portable.count(program)
  # Each norm is in its convolution.
  assert not counts.keys() & {'rsqrt', 'cond', 'jit', 'platform_index'}
  compute = jax.jit(core.jaxpr_as_fun(program))
  _, probabilities = compute(pictures[0][None])
  np.testing.assert_allclose(probabilities[0], predictions[0][1], atol=1e-4)


def test_integers_are_chosen_by_images_of_the_evaluated_split(workdir):
  _, about = export.function(workdir, SIZE, batch=2)
  batches = list(export._examples(workdir, about, 3))
  assert [x.shape for x in batches] == [(2, *SIZE, 3)] * 3
  assert not np.array_equal(batches[0], batches[1])
