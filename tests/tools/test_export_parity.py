import json

import numpy as np

from segjax.tools import export_parity


def test_a_difference_is_of_the_standard_deviation():
  wanted = {'logits': np.array([0.0, 2.0]), 'ids': np.arange(2000)}
  found = {'logits': np.array([0.0, 2.1]), 'ids': np.arange(2000)}
  assert np.isclose(export_parity.difference(found, wanted), 0.1)
  found['ids'] = np.flip(wanted['ids'])
  assert export_parity.difference(found, wanted) == 1.0


def test_what_a_file_has_is_not_compared_again(tmp_path, monkeypatch):
  answers = {
      ('unet', 'onnx'): 2e-6,
      ('unet', 'tflite'): 'NotImplementedError: no such thing',
      ('sds', 'onnx'): 'ValueError: reads image, proposals',
      ('sds', 'tflite'): 'takes more than 60 s',
  }
  asked = []

  class Worker:

    def ask(self, question, seconds):
      asked.append(question)
      return answers[question]

    def close(self):
      pass

  monkeypatch.setattr(export_parity, '_Worker', Worker)
  path = tmp_path / 'parity.json'
  export_parity.run(['unet'], ['onnx'], path, 60)
  results = export_parity.run(['unet', 'sds'], ['onnx', 'tflite'], path, 60)
  assert asked == [
      *(('unet', 'onnx'), ('sds', 'onnx')),
      *(('unet', 'tflite'), ('sds', 'tflite')),
  ]
  assert json.loads(path.read_text()) == results
  lines = export_parity.table(results).splitlines()
  assert lines[2] == (
      '| sds | ValueError: reads image, proposals | takes more than 60 s |'
  )
  assert lines[3] == (
      '| unet | yes, 2e-06 | NotImplementedError: no such thing |'
  )


def test_a_system_that_enlarges_roundings_is_compared_with_float64():
  answers = {
      'pidnet': {'to_jax': 1e-3, 'to_float64': 2e-4, 'jax_to_float64': 9e-4},
      'unet': {'to_jax': 1e-3, 'to_float64': 1e-3, 'jax_to_float64': 2e-4},
  }
  table = export_parity.table({k: {'onnx': v} for k, v in answers.items()})
  assert '| pidnet | yes, 2e-04 to float64, and JAX 9e-04 |' in table
  assert '| unet | differs, 1e-03 to float64, and JAX 2e-04 |' in table
