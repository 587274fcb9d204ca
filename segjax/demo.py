"""Serves a page that predicts the images that are dropped on it.

  python -m segjax.demo --workdir=runs/deeplabv3
  python -m segjax.demo --exported=deeplabv3.stablehlo

The page shows the prediction over the image, its classes, what is predicted at
a pixel under the pointer, and the files that `segjax.predict` would write. It
is for the person at this machine: it answers to no other, unless --host says
so, and has no password. The server is Werkzeug's, as of TensorBoard.
"""

import collections
from collections.abc import Callable
import dataclasses
import json
import math
import mimetypes
import pathlib
import re
import tempfile
import threading
import time

from absl import app
from absl import flags
from absl import logging
from etils import epath
import markupsafe
import numpy as np
from PIL import Image
import tifffile
from werkzeug import exceptions
from werkzeug import routing
from werkzeug import serving
from werkzeug import wrappers

from segjax import web
from segjax.artifacts import pictures
from segjax.data import image as images
from segjax.data import proposals as proposal_files
from segjax.ensemble import load
from segjax.exported import ExportedPredictor
from segjax.predictor import Predictor
from segjax.runtime import startup
from segjax.runtime import terminal

MEGABYTES = 64  # Of an upload at most.
# Predictions whose pixels and files can be asked for: the newest, and as many
# before it as have room.
KEPT, KEPT_BYTES = 4, 2**30
SHOWN = 1600  # Pixels of the longer side of a picture on the page.
TOLD = 5  # Classes that are told at a pixel.
LOOPBACK = ('localhost', '127.0.0.1', '::1')
# The page runs its own scripts and no others, and asks nobody else.
POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self';"
    " script-src 'self'; connect-src 'self'; form-action 'none';"
    " base-uri 'none'; frame-ancestors 'none'"
)


class Request(wrappers.Request):
  """A request whose body has a limit."""

  max_content_length = MEGABYTES * 2**20


@dataclasses.dataclass(frozen=True)
class _Result:
  """What is kept of a prediction."""

  prediction: dict[str, np.ndarray]
  files: dict[str, bytes]

  @property
  def nbytes(self):
    """Memory that it takes."""
    arrays = sum(x.nbytes for x in self.prediction.values())
    return arrays + sum(map(len, self.files.values()))


class Demo:
  """The WSGI application: a page, predictions, pixels and files."""

  def __init__(
      self,
      predictor: Predictor | ExportedPredictor,
      *,
      megapixels: float = 4.0,
      hosts: tuple[str, ...] = LOOPBACK,
  ):
    """Takes what predicts.

    Args:
      predictor: a `Predictor`, or an `ExportedPredictor`.
      megapixels: of an image at most.
      hosts: names by which browsers may call the server, so that pages of
        others cannot, by a name that they let point here; () for any.
    """
    self._predictor, self._pixels = predictor, round(megapixels * 1e6)
    self._hosts = hosts
    self._asks = getattr(predictor, 'asks', ())
    self._results = collections.OrderedDict()
    # One image at a time is on the device; a page may ask for more.
    self._device, self._table = threading.Lock(), threading.Lock()
    self._count = 0
    self._routes = routing.Map(
        [
            routing.Rule('/', endpoint=self._page, methods=['GET']),
            routing.Rule(
                '/<any("style.css", "theme.js", "demo.js"):name>',
                endpoint=self._resource,
                methods=['GET'],
            ),
            routing.Rule('/predict', endpoint=self._predict, methods=['POST']),
            routing.Rule(
                '/pixel/<int:number>', endpoint=self._pixel, methods=['GET']
            ),
            routing.Rule(
                '/files/<int:number>/<name>',
                endpoint=self._file,
                methods=['GET'],
            ),
        ]
    )

  @Request.application
  def __call__(self, request):
    """Answers a request; errors are JSON, {'error': words}."""
    request.trusted_hosts = list(self._hosts) or None
    try:
      # Raises if somebody else's name leads here.
      logging.debug('%s %s %s', request.host, request.method, request.path)
      answer, values = self._routes.bind_to_environ(request.environ).match()
      response = answer(request, **values)
    except exceptions.HTTPException as error:
      response = _json(_words(error), error.code)
      if isinstance(error, exceptions.MethodNotAllowed):
        response.headers['Allow'] = ', '.join(error.valid_methods)
    except Exception:  # The next image may be a better one.
      logging.exception('A request failed.')
      response = _json('The program failed; its log says why.', 500)
    response.headers['Content-Security-Policy'] = POLICY
    response.headers['X-Content-Type-Options'] = 'nosniff'
    response.headers['Cache-Control'] = 'no-store'
    return response

  def _page(self, request):
    """Answers with the page."""
    classes = self._scores().label_map
    asked = markupsafe.Markup('').join(
        markupsafe.Markup(
            '<p><label for="field-{0}">{0}</label> <input type="file"'
            ' id="field-{0}" name="{0}" data-field> <small>{1}</small></p>'
        ).format(name, self._wanted(name))
        for name in self._asks
    )
    about = self._predictor.describe()
    page = markupsafe.Markup(web.resource('demo.html')).format(
        model=about.get('workdir') or about.get('exported'),
        step=f'{self._predictor.step:,}',
        classes=len(classes.names),
        channels=self._predictor.channels,
        megapixels=f'{self._pixels / 1e6:g}',
        megabytes=MEGABYTES,
        suffixes=','.join(sorted(images.SUFFIXES)),
        asked=asked,
    )
    return wrappers.Response(page, mimetype='text/html')

  def _wanted(self, name):
    if self._is_of_proposals(name):
      return 'an .npz file with regions or boxes'
    return 'a grey image of the same size, black for 0 and white for 1'

  def _is_of_proposals(self, name):
    return bool(self._predictor.num_proposals) and name == self._asks[0]

  def _resource(self, request, name):
    """Answers with a file of the page."""
    kind = mimetypes.types_map[pathlib.Path(name).suffix]
    return wrappers.Response(web.resource(name), mimetype=kind)

  def _predict(self, request):
    """Predicts the image of a form, and answers with what the page shows."""
    if 'image' not in request.files:
      raise exceptions.BadRequest('There is no image in the form: choose one.')
    with tempfile.TemporaryDirectory() as folder:
      name = pathlib.Path(request.files['image'].filename or 'image').name
      paths = {}
      for field in ('image', *self._asks):
        if field not in request.files:
          raise exceptions.UnprocessableEntity(
              f'This system reads {field} beside the image: choose'
              f' {self._wanted(field)}.'
          )
        file = request.files[field]
        suffix = pathlib.Path(file.filename or '').suffix.lower()
        paths[field] = epath.Path(folder) / f'{field}{suffix}'
        file.save(paths[field])
      try:
        example = self._read(paths, name)
        start = time.monotonic()
        with self._device:
          prediction = self._of_model(example)
        seconds = time.monotonic() - start
      except ValueError as error:
        # Files lie in a folder that the user does not know.
        words = str(error)
        for field, path in paths.items():
          words = words.replace(str(path), name if field == 'image' else field)
        raise exceptions.UnprocessableEntity(words) from error
      example['name'] = pathlib.Path(name).stem or 'image'
      files = self._files(example, prediction)
    if 'probabilities' in prediction:  # Half the memory is enough to tell.
      prediction = prediction | {
          'probabilities': prediction['probabilities'].astype(np.float16)
      }
    number = self._keep(_Result(prediction, files))
    return _json(
        self._shown(example, prediction)
        | {
            'number': number,
            'name': name,
            'seconds': round(seconds, 3),
            'files': sorted(files),
        }
    )

  def _read(self, paths, name):
    """Returns the example of uploaded files.

    Raises:
      RequestEntityTooLarge: the image has too many pixels.
      UnsupportedMediaType: it is no image.
      ValueError: the model cannot take it.
    """
    path = paths['image']
    if path.suffix not in images.SUFFIXES:
      raise exceptions.UnsupportedMediaType(
          f'{name} is none of {", ".join(sorted(images.SUFFIXES))}.'
      )
    self._check_size(path, name)
    image = self._decoded(path, name, self._predictor.channels)
    example = {'image': image, 'name': name, 'raw': image}
    for field in self._asks:
      if self._is_of_proposals(field):
        example[field] = proposal_files.read(
            paths[field], image.shape[:2], self._predictor.num_proposals
        )
        continue
      self._check_size(paths[field], field)
      grey = self._decoded(paths[field], field, 1)[..., 0]
      whole = grey.dtype in (np.uint8, np.uint16)
      white = np.iinfo(grey.dtype).max if whole else 1
      example[field] = (grey / np.float32(white)).astype(np.float32)
    return example

  def _check_size(self, path, name):
    """Raises if an image has too many pixels, before they are in memory."""
    size = _size(path)
    if size and math.prod(size) > self._pixels:
      raise exceptions.RequestEntityTooLarge(
          f'{name} is {size[0]} x {size[1]} pixels; this page takes'
          f' {self._pixels / 1e6:g} million: make it smaller, or start the demo'
          ' with more --megapixels.'
      )

  @staticmethod
  def _decoded(path, name, channels):
    """Returns the pixels of a file, [H, W, channels]."""
    try:
      return images.read_image(path, upright=True, channels=channels)
    except images.BadExample:
      try:
        images.read_image(path)
      except images.BadExample as error:
        words = str(error).replace(str(path), name)
        # Pillow names the object in memory that it has read.
        words = re.sub(r' <_io.*>$', '.', words)
        raise exceptions.UnsupportedMediaType(words) from error
      raise  # It is an image, and not one for this model.

  def _of_model(self, example):
    """Returns the prediction for an example, {name: array}."""
    if isinstance(self._predictor, Predictor):
      more = {field: example[field] for field in self._asks}
      return self._predictor.predict_one(
          example['image'], name=example['name'], **more
      )
    per_pixel = self._predictor.task.PER_PIXEL
    ((_, prediction),) = self._predictor.stream([example], per_pixel)
    return prediction

  def _scores(self):
    return self._predictor.task.scores(self._predictor.label_map)

  def _files(self, example, prediction):
    """Returns the files that `segjax.predict` writes, {name: content}."""
    scores = self._scores()
    with tempfile.TemporaryDirectory() as folder:
      scores.write(epath.Path(folder), example, prediction)
      scores.finish(epath.Path(folder))
      return {
          path.name: path.read_bytes()
          for path in pathlib.Path(folder).iterdir()
      }

  def _shown(self, example, prediction):
    """Returns what the page shows of a prediction, as JSON has it."""
    scores, raw = self._scores(), example['raw']
    painted = scores.paint(raw, prediction)
    classes = scores.label_map
    return {
        'height': raw.shape[0],
        'width': raw.shape[1],
        'image': pictures.data_uri(pictures.displayable(raw), SHOWN),
        'painted': pictures.data_uri(painted, SHOWN),
        'found': [
            {
                'name': classes.names[i],
                'color': [int(x) for x in classes.colors[i]],
                'amount': amount,
            }
            for i, amount in scores.found(prediction)
        ],
    }

  def _keep(self, result):
    """Keeps a result, forgets the oldest, and returns its number."""
    with self._table:
      self._count += 1
      self._results[self._count] = result
      while len(self._results) > 1 and (
          len(self._results) > KEPT
          or sum(x.nbytes for x in self._results.values()) > KEPT_BYTES
      ):
        self._results.popitem(last=False)
      return self._count

  def _kept(self, number):
    with self._table:
      if number not in self._results:
        raise exceptions.NotFound(
            f'Prediction {number} is not kept any more: predict it again.'
        )
      return self._results[number]

  def _pixel(self, request, number):
    """Answers with the classes at a pixel, the most probable first."""
    prediction = self._kept(number).prediction
    y, x = (request.args.get(name, -1, type=int) for name in ('y', 'x'))
    scores = self._scores()
    try:
      if min(y, x) < 0:
        raise IndexError
      told = scores.at(prediction, y, x)[:TOLD]
    except IndexError as error:
      raise exceptions.BadRequest(
          f'There is no pixel y={request.args.get("y")},'
          f' x={request.args.get("x")} in this image.'
      ) from error
    classes = scores.label_map
    return _json(
        [
            {
                'name': classes.names[i],
                'color': [int(c) for c in classes.colors[i]],
                'value': None if math.isnan(value) else round(value, 4),
            }
            for i, value in told
        ]
    )

  def _file(self, request, number, name):
    """Answers with a file of a prediction, to be saved."""
    files = self._kept(number).files
    if name not in files:
      raise exceptions.NotFound(f'Prediction {number} has no file {name}.')
    kind = mimetypes.guess_type(name)[0] or 'application/octet-stream'
    response = wrappers.Response(files[name], mimetype=kind)
    response.headers.set('Content-Disposition', 'attachment', filename=name)
    return response


def _size(path):
  """Returns width and height of an image as its header tells, or None."""
  try:
    with Image.open(path) as file:
      return file.size
  except Image.DecompressionBombError:
    return math.inf, math.inf
  except Exception:  # Not one of Pillow's; decoders raise errors of any type.
    pass
  try:
    if path.suffix == '.npy':
      shape = np.load(path, mmap_mode='r', allow_pickle=False).shape
    else:
      shape = tifffile.TiffFile(path).pages[0].shape
    return shape[1::-1]
  except Exception:  # It is told when the file is decoded.
    return None


def _words(error):
  """Returns what an HTTP error tells the user."""
  if isinstance(error, exceptions.SecurityError):
    return 'The demo is not called by this name: use http://localhost.'
  if isinstance(error, exceptions.RequestEntityTooLarge):
    default = exceptions.RequestEntityTooLarge.description
    if error.description == default:
      return f'The upload has more than {MEGABYTES} MB, which is the limit.'
  return error.description


def _json(content, status=200):
  """Returns a response with a content as JSON; a text is an error."""
  if isinstance(content, str):
    content = {'error': content}
  return wrappers.Response(
      json.dumps(content), status, mimetype='application/json'
  )


class _Quiet(serving.WSGIRequestHandler):
  """Logs no request: a pointer over an image makes many."""

  def log_request(self, code='-', size='-'):
    """Does nothing."""


def serve(demo: Callable, host: str, port: int) -> serving.BaseWSGIServer:
  """Returns a server of the demo, which listens already.

  Args:
    demo: the application.
    host: name or address to listen at.
    port: to listen at; 0 takes a free one.
  """
  return serving.make_server(
      host, port, demo, threaded=True, request_handler=_Quiet
  )


def main(workdir, exported, host, port, megapixels):
  """Serves the demo until it is interrupted."""
  with terminal.errors_in_words():
    if (workdir is None) == (exported is None):
      raise ValueError('Give --workdir or --exported, one of them.')
    startup.prepare()
    predictor = ExportedPredictor(exported) if exported else load(workdir)
    at_home = host in LOOPBACK
    demo = Demo(
        predictor,
        megapixels=megapixels,
        hosts=LOOPBACK if at_home else (),
    )
    server = serve(demo, host, port)
    if not at_home:
      logging.warning(
          'Whoever reaches %s can use the demo, which has no password.', host
      )
    logging.info(
        'The demo is at http://%s:%d; Ctrl+C ends it.',
        f'[{host}]' if ':' in host else host,
        server.port,
    )
    server.serve_forever()


if __name__ == '__main__':
  _WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of a trained run.')
  _EXPORTED = flags.DEFINE_string(
      'exported', None, 'File that segjax.export wrote, in the place of a run.'
  )
  _HOST = flags.DEFINE_string(
      'host',
      'localhost',
      'Address to listen at; another than localhost lets others in.',
  )
  _PORT = flags.DEFINE_integer(
      'port', 8000, 'Port to listen at; 0 takes a free one.', lower_bound=0
  )
  _MEGAPIXELS = flags.DEFINE_float(
      'megapixels',
      4.0,
      'Million pixels of an image at most; memory grows with them and with the'
      ' classes.',
      lower_bound=0.0,
  )

  def _start(argv):
    if len(argv) > 1:
      raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
    main(
        _WORKDIR.value,
        _EXPORTED.value,
        _HOST.value,
        _PORT.value,
        _MEGAPIXELS.value,
    )

  app.run(_start, flags_parser=terminal.parse_flags)
