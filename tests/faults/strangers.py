"""Files of strangers: refused, nothing executed, nothing written outside."""

import io
import shutil
import zipfile

import numpy as np

from segjax.artifacts.checkpoint import Checkpoints
from segjax.convert import torch_file
from tests.convert import test_torch_file as files
from tests.faults.disks import FLAGS
from tests.faults.disks import hearing
from tests.faults.found import Found
from tests.runs import Runs


def refusal(path):
  """Returns why a file of weights is refused, or '' if it is read."""
  try:
    torch_file.read(path)
  except ValueError as error:
    return str(error)
  return ''


def weights(folder, seed):
  """Files of weights that call, that climb out, or that claim too much."""
  del seed
  found = Found()
  inner = folder / 'home/downloads'
  inner.mkdir(parents=True)
  marker = folder / 'marker'
  call = files.calling('os', 'system', f'touch {marker}')
  for kind, write in (('zip', files.write_zip), ('old', files.write_legacy)):
    said = refusal(write(inner / f'calls-{kind}.pth', call))
    good = 'os.system' in said and not marker.exists()
    found.note(good, 'a pickle that calls a command refused', said)

  for name, content in climbing(folder).items():
    (inner / name).write_bytes(content)
    before = set(folder.rglob('*'))
    refusal(inner / name)
    added = set(folder.rglob('*')) - before
    found.note(not added, 'names that climb out wrote nothing', f'{added}')

  for name, content in absurd(folder).items():
    (inner / name).write_bytes(content)
    said = refusal(inner / name)
    found.note(name in said, 'an absurd shape refused by name', said)
  return found


def climbing(folder):
  """Returns files by name with an entry that lies outside of them."""
  array, npz, pth = io.BytesIO(), io.BytesIO(), io.BytesIO()
  np.save(array, np.zeros(3, np.float32))
  with zipfile.ZipFile(npz, 'w') as archive:
    archive.writestr('../../climbed.npy', array.getvalue())
  with zipfile.ZipFile(pth, 'w') as archive:
    pickled = files.pickled_tensor(0, (4,), (1,))
    archive.writestr('archive/data.pkl', pickled)
    archive.writestr('archive/data/0', files.FOUR)
    archive.writestr('../../climbed', b'outside')
    archive.writestr(f'{folder}/climbed', b'outside')
  return {'climbs.npz': npz.getvalue(), 'climbs.pth': pth.getvalue()}


def absurd(folder):
  """Returns files by name that claim more numbers than they have."""
  pickled = files.pickled_tensor(0, (10**6, 10**6), (10**6, 1))
  path = files.write_zip(folder / 'a.pth', pickled, **{'data/0': files.FOUR})
  return {
      'absurd.safetensors': files.absurd_safetensors(),
      'absurd.npz': files.absurd_npz(),
      'absurd.pth': path.read_bytes(),
  }


def checkpoints(folder, seed):
  """A checkpoint whose files are pickles that call, and one of other shapes."""
  del seed
  found = Found()
  whole = Runs(folder, *FLAGS).finish('run').checkpoints
  newest = Checkpoints(whole, read_only=True).steps()[-1]
  state = Checkpoints(whole, read_only=True).read(newest)
  marker = folder / 'marker'
  call = files.calling('os', 'system', f'touch {marker}')
  strange = folder / 'strange'
  shutil.copytree(whole, strange)
  for path in (strange / str(newest)).rglob('*'):
    if path.is_file():
      path.write_bytes(call)
  with hearing() as heard:
    restored = Checkpoints(strange).restore(state)
  named = f'{strange}/{newest} cannot be read' in heard.text
  found.note(
      named and restored is not None and not marker.exists(),
      'pickles refused by name, nothing executed',
      heard.text,
  )
  del state['params']['classifier']['bias']
  try:
    Checkpoints(whole).restore(state)
    said = ''
  except ValueError as error:
    said = str(error)
  good = 'is of another model' in said and 'classifier/bias' in said
  found.note(good, 'other shapes refused by name', said)
  return found
