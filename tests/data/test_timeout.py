import itertools
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from segjax.data import pipeline
from segjax.data import timeout
from segjax.data.datasets import Dataset
from segjax.data.image import BadExample


class Stuck(Dataset):
  """Ten examples, of which some are never read and one is bad."""

  split = 'train'

  def __init__(self, stuck=(), bad=()):
    self.stuck = stuck
    self.bad = bad
    self.reached, self.freed = threading.Event(), threading.Event()

  def __len__(self):
    return 10

  def __getitem__(self, index):
    if index in self.stuck:
      self.reached.set()
      self.freed.wait()
    if index in self.bad:
      raise BadExample(f'{index} is bad')
    image = np.full((8, 8, 3), index, np.uint8)
    return {'image': image, 'label': image[:, :, 0], 'name': str(index)}


@pytest.fixture
def stuck():
  dataset = Stuck(stuck=(3, 4))
  yield dataset
  dataset.freed.set()


def test_examples_and_errors_are_those_of_the_data_set():
  dataset = Stuck(bad=[2])
  patient = timeout.WithTimeout(dataset, 60.0, 2)
  assert len(patient) == 10
  assert [patient[i]['name'] for i in (5, 0)] == ['5', '0']
  with pytest.raises(BadExample, match='2 is bad'):
    patient[2]
  assert patient[3]['name'] == '3'


def test_the_example_that_does_not_come_is_named(stuck):
  assert timeout.WithTimeout(stuck, 60.0, 2)[2]['name'] == '2'
  with pytest.raises(
      TimeoutError, match=r'Waited 0.2 s for example 3 of Stuck'
  ):
    timeout.WithTimeout(stuck, 0.2, 2)[3]


def test_after_one_nobody_waits_for_others(stuck):
  patient = timeout.WithTimeout(stuck, 1.0, 2)
  said = []

  def read(index):
    with pytest.raises(TimeoutError) as error:
      patient[index]
    said.append(str(error.value))

  first = threading.Thread(target=read, args=[3])
  second = threading.Thread(target=read, args=[4])
  first.start()
  stuck.reached.wait()
  time.sleep(0.3)
  second.start()
  first.join()
  second.join()
  read(5)
  assert len(said) == 3
  assert len(set(said)) == 1
  assert 'example 3' in said[0]


def test_batches_and_evaluation_end_with_it(stuck):
  patient = timeout.WithTimeout(stuck, 0.2, 2)
  batches = pipeline.train_batches(
      patient, 'random_crop(8)|normalize', batch_size=5, seed=0
  )
  with pytest.raises(TimeoutError, match='Waited 0.2 s for example [34]'):
    list(itertools.islice(batches, 2))
  patient = timeout.WithTimeout(stuck, 0.2, 2)
  with pytest.raises(TimeoutError, match='Waited 0.2 s for example [34]'):
    list(pipeline.eval_examples(patient, 'normalize'))


def test_0_waits_for_ever_in_no_threads():
  before = set(threading.enumerate())
  patient = timeout.WithTimeout(Stuck(), 0.0, 2)
  assert patient[1]['name'] == '1'
  assert set(threading.enumerate()) <= before


def test_a_time_that_makes_no_sense_is_an_error():
  with pytest.raises(ValueError, match='config.loader_timeout=-1 must be'):
    timeout.WithTimeout(Stuck(), -1, 2)


def test_threads_end_with_the_data_set():
  before = set(threading.enumerate())
  patient = timeout.WithTimeout(Stuck(), 60.0, 3)
  readers = set(threading.enumerate()) - before
  assert len(readers) == 3
  del patient
  for reader in readers:
    reader.join(300)
  assert not any(reader.is_alive() for reader in readers)


def test_a_file_that_hangs_does_not_keep_the_program(tmp_path):
  os.mkfifo(tmp_path / 'pipe')  # Reading waits for a writer.
  program = f"""
from segjax.data import timeout
from tests.data.test_timeout import Stuck

class Pipe(Stuck):
  def __getitem__(self, index):
    return open({str(tmp_path / 'pipe')!r}).read()

timeout.WithTimeout(Pipe(), 0.1, 1)[0]
"""
  process = subprocess.run(
      [sys.executable, '-c', program],
      capture_output=True,
      text=True,
      timeout=300,
  )
  assert process.returncode == 1
  assert 'TimeoutError: Waited 0.1 s for example 0' in process.stderr
