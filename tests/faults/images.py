"""Images of odd sizes and kinds: read or refused by name, in bounded memory."""

import io
import json
import struct
import subprocess
import sys
import zlib

import numpy as np
from PIL import Image

from tests.faults.found import Found
from tests.faults.found import last_line
from tests.runs import ROOT

GROWTH = 0.2  # GB that reading one may take.
# Says what became of a file, and by how much the memory has grown.
READ = """
import json, resource, sys
from segjax.data import image
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
before, shape, said = peak(), None, ''
try:
  read = image.read_image(sys.argv[1])
  shape, said = read.shape, str(read.dtype)
except image.BadExample as error:
  said = str(error)
print(json.dumps([shape, said, peak() - before]))
"""


def chunk(kind, data):
  crc = struct.pack('>I', zlib.crc32(kind + data))
  return struct.pack('>I', len(data)) + kind + data + crc


def black_png(width, height):
  """Returns a real PNG, far smaller than its pixels."""
  compressor = zlib.compressobj(1)
  rows = bytes(width + 1) * 100
  data = [compressor.compress(rows) for _ in range(height // 100)]
  data.append(compressor.flush())
  header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
  return (
      b'\x89PNG\r\n\x1a\n'
      + chunk(b'IHDR', header)
      + chunk(b'IDAT', b''.join(data))
      + chunk(b'IEND', b'')
  )


def encoded(picture, kind, **options):
  buffer = io.BytesIO()
  picture.save(buffer, kind, **options)
  return buffer.getvalue()


def picture(mode, size=(30, 20)):
  rng = np.random.default_rng(0)
  pixels = rng.integers(256, size=(size[1], size[0], 3)).astype(np.uint8)
  return Image.fromarray(pixels).convert(mode)


def one():
  return encoded(picture('RGB', (1, 1)), 'png')


def animated(kind):
  first = picture('RGB')
  more = [first.rotate(180)]
  return encoded(first, kind, save_all=True, append_images=more)


def turned():
  """Returns a JPEG that EXIF says to turn by 90 degrees."""
  exif = Image.Exif()
  exif[0x0112] = 6
  return encoded(picture('RGB'), 'jpeg', exif=exif)


def deep():
  depth = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
  return encoded(Image.fromarray(depth), 'png')


# Name, content, and what is read of it: shape and type, or None if refused.
FILES = (
    ('large.png', lambda: black_png(30_000, 20_000), None),
    ('one.png', one, ((1, 1, 3), 'uint8')),
    ('empty.png', lambda: b'', None),
    ('animated.gif', lambda: animated('gif'), None),
    ('animated.png', lambda: animated('png'), None),
    ('animated.webp', lambda: animated('webp'), None),
    (
        'cmyk.jpg',
        lambda: encoded(picture('CMYK'), 'jpeg'),
        ((20, 30, 3), 'uint8'),
    ),
    ('deep.png', deep, ((20, 30, 1), 'uint16')),
    (
        'alpha.png',
        lambda: encoded(picture('RGBA'), 'png'),
        ((20, 30, 4), 'uint8'),
    ),
    # As it lies in the file: a mask lies the same way, and has no EXIF.
    ('turned.jpg', turned, ((20, 30, 3), 'uint8')),
)


def odd(folder, seed):
  """Images are read as expected, or refused by name, in bounded memory."""
  del seed
  found = Found()
  for name, content, expected in FILES:
    path = folder / name
    path.write_bytes(content())
    process = subprocess.run(
        [sys.executable, '-c', READ, path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if process.returncode:
      found.note(False, name, last_line(process.stderr))
      continue
    shape, said, gigabytes = json.loads(process.stdout)
    if expected is None:
      good = shape is None and said.startswith(str(path))
    else:
      good = shape is not None and (tuple(shape), said) == expected
    found.note(
        good and gigabytes < GROWTH,
        f'{path.stem} {"read" if expected else "refused by name"}',
        f'{name}: {shape} {said}, {gigabytes:.2f} GB',
    )
  return found
