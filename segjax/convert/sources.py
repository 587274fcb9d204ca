"""Weights that others publish, by name: where they are, and a cache of them.

`torchvision:resnet50-11ad3fa6` names a file of `TABLE`. As PyTorch's hub has
it, a name ends with the first hexadecimal digits of the SHA-256 of its file.
A file is used only if they are right, wherever it came from.

Files are kept in the folder `segjax/weights` of the user's cache folder, or in
the one that SEGJAX_WEIGHTS_DIR names. A file that is put there by hand under
its name is taken as if it had been downloaded.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import difflib
import hashlib
import http.client
import os
import pathlib
import re
from typing import Any
import urllib.parse
import urllib.request

from absl import logging
from etils import epath
import filelock

from segjax.convert import rules
from segjax.runtime import atomic
from segjax.runtime import progress
from segjax.runtime import user_cache

VARIABLE = 'SEGJAX_WEIGHTS_DIR'
SECONDS = 60  # Time to wait for a server that does not answer.
CHUNK = 1 << 20  # Bytes that are read at a time.
# The end of the names of files that say what they hold.
_DIGITS = re.compile(r'-([0-9a-f]{8,64})(?:\.[a-z]+)?')


@dataclasses.dataclass(frozen=True)
class Weights:
  """A file of weights, and what it holds: a backbone or a whole system.

  Attributes:
    source: folder of `segjax.convert.rules` whose rules it needs.
    name: of the file, without its ending.
    address: where it is.
    backbone: of a classifier of ImageNet, such as 'resnet/50'.
    model: of a system, the name of its file in segjax/models.
    fields: of a system, those of its `Model` that the weights need.
    num_classes: of a system.
    only: regular expression of the names of the tensors to read; '' takes all.
  """

  source: str
  name: str
  address: str
  backbone: str = ''
  model: str = ''
  fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  num_classes: int = 0
  only: str = ''

  @property
  def title(self) -> str:
    """What `find` takes, 'source:name'."""
    return f'{self.source}:{self.name}'

  @property
  def file_name(self) -> str:
    """Name of the file in the cache."""
    return pathlib.PurePosixPath(urllib.parse.urlsplit(self.address).path).name


# Classifiers of ImageNet: torchvision 0.28, `models/*.py`.
_BACKBONES = {
    'resnet18-f37072fd': 'resnet/18',
    'resnet34-b627a593': 'resnet/34',
    'resnet50-0676ba61': 'resnet/50',
    'resnet50-11ad3fa6': 'resnet/50',
    'resnet101-63fe2227': 'resnet/101',
    'resnet101-cd907fc2': 'resnet/101',
    'resnet152-394f9c45': 'resnet/152',
    'resnet152-f82ba261': 'resnet/152',
    'resnext50_32x4d-7cdf4587': 'resnet/next50_32x4d',
    'resnext50_32x4d-1a0047aa': 'resnet/next50_32x4d',
    'resnext101_32x8d-8ba56ff5': 'resnet/next101_32x8d',
    'resnext101_32x8d-110c445d': 'resnet/next101_32x8d',
    'wide_resnet50_2-95faca4d': 'resnet/wide50_2',
    'wide_resnet50_2-9ba9bcbe': 'resnet/wide50_2',
    'wide_resnet101_2-32ee1156': 'resnet/wide101_2',
    'wide_resnet101_2-d733dc28': 'resnet/wide101_2',
    'vgg11-8a719046': 'vgg/11',
    'vgg11_bn-6002323d': 'vgg/11_bn',
    'vgg13-19584684': 'vgg/13',
    'vgg13_bn-abd245e5': 'vgg/13_bn',
    'vgg16-397923af': 'vgg/16',
    'vgg16_bn-6c64b313': 'vgg/16_bn',
    # Caffe's weights, for normalize((123.0, 117.0, 104.0), 1.0).
    'vgg16_features-amdegroot-88682ab5': 'vgg/16',
    'vgg19-dcbb9e9d': 'vgg/19',
    'vgg19_bn-c79401a0': 'vgg/19_bn',
    'densenet121-a639ec97': 'densenet/121',
    'densenet161-8d451a50': 'densenet/161',
    'densenet169-b2777c0a': 'densenet/169',
    'densenet201-c1103571': 'densenet/201',
    'mobilenet_v2-b0353104': 'mobilenet/v2',
    'mobilenet_v2-7ebf99e0': 'mobilenet/v2',
    'mobilenet_v3_large-8738ca79': 'mobilenet/v3_large',
    'mobilenet_v3_large-5c1a4163': 'mobilenet/v3_large',
    'mobilenet_v3_small-047dcff4': 'mobilenet/v3_small',
}
# Tensors to read of files that have numbers only for some.
_ONLY = {'vgg16_features-amdegroot-88682ab5': r'features\.'}

_RATES = dict(rates=(12, 24, 36))
_DETECTOR = dict(backbone='resnet/50(epsilon=0.0)')
# Systems trained on COCO: name -> model, classes, fields.
_SYSTEMS = {
    'deeplabv3_resnet50_coco-cd0a2569': (
        'deeplabv3',
        21,
        dict(backbone='resnet/50(output_stride=8)', **_RATES),
    ),
    'deeplabv3_resnet101_coco-586e9e4e': (
        'deeplabv3',
        21,
        dict(backbone='resnet/101(output_stride=8)', **_RATES),
    ),
    'deeplabv3_mobilenet_v3_large-fc3c493d': (
        'deeplabv3',
        21,
        dict(
            backbone='mobilenet/v3_large(output_stride=16)',
            aux_level='c3_first',
            **_RATES,
        ),
    ),
    'fcn_resnet50_coco-1167a1af': (
        'fcn_dilated',
        21,
        dict(backbone='resnet/50(output_stride=8)'),
    ),
    'fcn_resnet101_coco-7ecb50ca': (
        'fcn_dilated',
        21,
        dict(backbone='resnet/101(output_stride=8)'),
    ),
    'lraspp_mobilenet_v3_large-d234d4ea': ('lraspp', 21, {}),
    'maskrcnn_resnet50_fpn_coco-bf2d0c1e': ('mask_rcnn', 91, _DETECTOR),
    'fasterrcnn_resnet50_fpn_coco-258fb6c6': (
        'mask_rcnn',
        91,
        dict(masks=False, **_DETECTOR),
    ),
}


def _torchvision(name, **about):
  address = f'https://download.pytorch.org/models/{name}.pth'
  return Weights('torchvision', name, address, **about)


TABLE = {
    weights.title: weights
    for weights in (
        *(
            _torchvision(name, backbone=backbone, only=_ONLY.get(name, ''))
            for name, backbone in _BACKBONES.items()
        ),
        *(
            _torchvision(name, model=model, num_classes=classes, fields=fields)
            for name, (model, classes, fields) in _SYSTEMS.items()
        ),
    )
}


def find(text: str) -> Weights | None:
  """Returns the weights that a text names, or None if it is a path.

  Args:
    text: 'source:name', or the path of a file or folder.

  Raises:
    ValueError: it begins with a source, but there are no such weights.
  """
  if text in TABLE:
    return TABLE[text]
  source, colon, name = text.partition(':')
  if not colon or name.startswith('//') or source not in rules.names():
    return None
  known = [title for title in TABLE if title.startswith(f'{source}:')]
  near = difflib.get_close_matches(text, known, 3, 0.5) or known
  raise ValueError(
      f'There are no weights called {text!r}.'
      + (f' Known: {", ".join(near)}.' if near else '')
      + ' `python -m segjax.convert --list` shows all. Weights of other names'
      ' are converted first: python -m segjax.convert --source'
      f'={source} --checkpoint=FILE, which may be the address of a file.'
  )


def describe() -> str:
  """Returns a line for each file of the table: name, content and address."""
  rows = [(t, w.backbone or w.model, w.address) for t, w in TABLE.items()]
  wide = [max(len(row[i]) for row in rows) for i in range(2)]
  return '\n'.join(
      f'  {title:<{wide[0]}}  {content:<{wide[1]}}  {address}'
      for title, content, address in rows
  )


def local(text: epath.PathLike) -> epath.Path:
  """Returns the path of a file of weights, which is fetched if it is not there.

  Args:
    text: a path, a name of the table, or an address 'https://...' of a file
      whose name ends with '-' and digits of its SHA-256.

  Raises:
    ValueError: there is no such name, or the name says no digits.
  """
  text = os.fspath(text)
  if text.startswith('https://'):
    name = pathlib.PurePosixPath(urllib.parse.urlsplit(text).path).stem
    return fetch(Weights('', name, text))
  weights = find(text)
  return fetch(weights) if weights else epath.Path(text)


def folder() -> epath.Path:
  """Returns the folder that files are kept in."""
  if chosen := os.environ.get(VARIABLE):
    return epath.Path(chosen)
  return epath.Path(user_cache.folder('weights'))


def fetch(weights: Weights) -> epath.Path:
  """Returns the path of a file in the cache, and downloads what is not there.

  Processes of one machine that need the same file wait for the first of them.

  Raises:
    ValueError: the digits of the name are not those of the file.
    ConnectionError: the file is not there and cannot be fetched.
  """
  digits = _digits(weights)
  path = folder() / weights.file_name
  if not path.exists():
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      with _locked(path):
        if not path.exists():  # Another process may have been faster.
          _download(weights.address, path, digits)
          return path
    except (OSError, http.client.HTTPException) as error:
      raise ConnectionError(
          f'{weights.address} cannot be fetched to {path}: {error}. Without a'
          ' network, get the file elsewhere and put it there under that name,'
          f' or into another folder that {VARIABLE} names.'
      ) from error
  sha = hashlib.sha256()
  with path.open('rb') as file:
    for chunk in iter(lambda: file.read(CHUNK), b''):
      sha.update(chunk)
  found = sha.hexdigest()
  if not found.startswith(digits):
    raise ValueError(
        f'{path} is not the file that its name says: its SHA-256 begins with'
        f' {found[:len(digits)]}. Delete it, and it will be fetched from'
        f' {weights.address}.'
    )
  return path


def _digits(weights):
  """Returns the digits that the SHA-256 of a file has to begin with."""
  match = _DIGITS.search(weights.file_name)
  if match is None or match.end() != len(weights.file_name):
    raise ValueError(
        f'{weights.address} does not end with digits of its SHA-256, as in'
        ' NAME-0123abcd.pth, by which files are checked: download it yourself,'
        ' and give the path of the file.'
    )
  return match[1]


@contextlib.contextmanager
def _locked(path: epath.Path) -> Iterator[None]:
  """Context that one process of a machine is in at a time, for each file."""
  if '://' in str(path):  # Object stores have no locks.
    yield
    return
  lock = filelock.FileLock(path.parent / f'.{path.name}.lock')
  try:
    held = lock.acquire(blocking=False)
  except filelock.Timeout:
    logging.info('Waiting for another process, which fetches %s.', path.name)
    held = lock.acquire()
  with held:
    yield


def _download(address, path, digits):
  """Writes a file of a server; nothing is left of one that is not right."""
  logging.info('Fetching %s to %s.', address, path.parent)
  request = urllib.request.Request(address, headers={'User-Agent': 'segjax'})
  with (
      urllib.request.urlopen(request, timeout=SECONDS) as answer,
      atomic.replacing(path) as file,
  ):
    total = int(answer.headers['Content-Length'] or 0)
    chunks = iter(lambda: answer.read(CHUNK), b'')
    if total:
      chunks = progress.track(chunks, -(-total // CHUNK), path.name)
    sha, size = hashlib.sha256(), 0
    for chunk in chunks:
      file.write(chunk)
      sha.update(chunk)
      size += len(chunk)
    if size < total:
      raise ConnectionError(f'the connection ended after {size} of {total} B')
    found = sha.hexdigest()
    if not found.startswith(digits):
      raise ValueError(
          f'What {address} has sent, {size} B, is not the file that its name'
          f' says: its SHA-256 begins with {found[:len(digits)]}, not {digits}.'
          ' Nothing was kept. Does a proxy answer in the place of the server?'
      )
