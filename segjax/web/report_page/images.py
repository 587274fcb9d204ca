"""Images with their labels and what runs predict for them."""

from collections.abc import Mapping
from collections.abc import Sequence
import json

from markupsafe import Markup

from segjax.web.report_page.html import joined
from segjax.web.report_page.html import number
from segjax.web.report_page.html import run_key
from segjax.web.report_page.html import swatch
from segjax.web.report_page.runs import Example
from segjax.web.report_page.runs import Run
from segjax.web.report_page.runs import grounds

OPEN = 30  # Classes up to which their colours are shown unasked.


def section(
    runs: Sequence[Run],
    examples: Sequence[Example],
    orders: Mapping[str, Sequence[str]],
) -> Markup:
  """Returns the images, and buttons that bring them into an order.

  Args:
    runs: that predict them.
    examples: the images.
    orders: {title: keys of the images in this order}.
  """
  if not examples:
    return Markup('<p>No image was predicted for this report.</p>')
  buttons = joined(
      '<button type="button" aria-pressed="false" data-order="{}">{}</button>',
      ((json.dumps(list(keys)), title) for title, keys in orders.items()),
  )
  cards = []
  for example in examples:
    pictures = [
        _picture(example.image, 'Image', f'Image {example.name}'),
        _picture(example.label, 'Label', f'Label of {example.name}'),
    ]
    for i, (picture, value) in example.predictions.items():
      name, best = runs[i].name, runs[i].best
      pictures.append(
          _picture(
              picture,
              Markup('{} <b>{}</b>').format(run_key(i, name), number(value)),
              f'Prediction of {name} for {example.name}, {best}'
              f' {number(value)}',
          )
      )
    cards.append(
        Markup(
            '<article class="example" data-key="{}"><h3>{}</h3><div'
            ' class="pictures">{}</div></article>'
        ).format(example.key, example.name, Markup('').join(pictures))
    )
  score = ' or '.join(dict.fromkeys(run.best for run in runs if run.images))
  return Markup(
      '<p>An image by itself has another score than the split: here it is the'
      ' {} of the classes in its truth or prediction. Images without one are'
      ' left out.</p><div class="orders" role="group" aria-label="Which images'
      '">{}</div>{}<div class="examples">{}</div>'
  ).format(score, buttons, _legend(runs), Markup('').join(cards))


def _picture(source, caption, text):
  """Returns a picture that a click enlarges.

  Args:
    source: a data URI.
    caption: below it.
    text: what it shows, for who cannot see it.
  """
  return Markup(
      '<figure><button type="button" class="zoom" aria-label="Enlarge: {text}">'
      '<img src="{source}" alt="{text}"></button><figcaption>'
      '{caption}</figcaption></figure>'
  ).format(text=text, source=source, caption=caption)


def _legend(runs):
  """Returns the colours of the classes."""
  legends = []
  for ground in grounds(runs):
    run = ground[0][1]
    swatches = Markup('').join(
        Markup('<li>{}</li>').format(swatch(color, name))
        for color, name in zip(run.colors, run.classes, strict=True)
    )
    legends.append(
        Markup(
            '<details {}><summary>Colours of {}</summary><ul class="legend">{}'
            '</ul></details>'
        ).format(
            'open' if len(run.classes) <= OPEN else '', run.split, swatches
        )
    )
  return Markup('').join(legends)
