"""Reads a page as a browser does, and refuses what a browser would forgive."""

import base64
import html.parser
import io
import re

import numpy as np
from PIL import Image

VOID = {'meta', 'img', 'input', 'link', 'br', 'hr'}


class Page(html.parser.HTMLParser):
  """The elements of a page, (tag, attributes, text below it) in their order."""

  def __init__(self, text):
    super().__init__()
    self.elements, self._open = [], []
    self.feed(text)
    self.close()
    assert not self._open, f'not closed: {self._open}'

  def handle_starttag(self, tag, attrs):
    names = [name for name, _ in attrs]
    assert len(names) == len(set(names)), (tag, attrs)
    element = (tag, dict(attrs), [])
    self.elements.append(element)
    if tag not in VOID:
      self._open.append(element)

  def handle_startendtag(self, tag, attrs):  # As SVG closes its elements.
    self.elements.append((tag, dict(attrs), []))

  def handle_endtag(self, tag):
    assert self._open[-1][0] == tag, f'</{tag}> closes {self._open[-1][:2]}'
    self._open.pop()

  def handle_data(self, data):
    for _, _, texts in self._open:
      texts.append(data)

  def find(self, tag, **attributes):
    """Returns (attributes, text) of each element that has these."""
    return [
        (found, re.sub(r'\s+', ' ', ' '.join(texts)).strip())
        for name, found, texts in self.elements
        if name == tag
        and all(found.get(k.strip('_')) == v for k, v in attributes.items())
    ]

  def addresses(self):
    """Returns all that a browser would load or follow."""
    return [
        attributes[name]
        for _, attributes, _ in self.elements
        for name in ('src', 'href', 'srcset', 'action', 'poster')
        if attributes.get(name)
    ]


def check(page):
  """Checks what anybody needs who cannot see, or has no mouse."""
  ids = [a['id'] for _, a, _ in page.elements if 'id' in a]
  assert len(ids) == len(set(ids))
  for _, attributes, _ in page.elements:
    for name in ('aria-labelledby', 'aria-describedby', 'for'):
      assert attributes.get(name, ids[0]) in ids
  assert page.find('html')[0][0]['lang'] == 'en'
  assert (
      'width=device-width'
      in page.find('meta', name='viewport')[0][0]['content']
  )
  for attributes, _ in page.find('img'):
    assert attributes['alt'] or 'src' not in attributes
  for attributes, text in page.find('button'):
    assert text or attributes.get('aria-label'), attributes
  for href in page.addresses():
    assert not href.startswith('#') or href[1:] in ids


def decode(uri):
  """Returns the picture [H, W, 3] of a data URI."""
  kind, _, data = uri.partition(',')
  assert kind in ('data:image/png;base64', 'data:image/jpeg;base64')
  with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
    return np.asarray(picture.convert('RGB'))
