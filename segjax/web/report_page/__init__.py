"""The page of a report on runs: one HTML file that holds all it shows.

Each module is a section of the page or two; `runs` says what the page is given,
and `html` has the pieces that sections share.
"""

from collections.abc import Mapping
from collections.abc import Sequence

from markupsafe import Markup

from segjax import web
from segjax.web.report_page import confusion
from segjax.web.report_page import curves
from segjax.web.report_page import images
from segjax.web.report_page import origin
from segjax.web.report_page import scores
from segjax.web.report_page.html import joined
from segjax.web.report_page.runs import Example
from segjax.web.report_page.runs import Run

GENERATOR = '<meta name="generator" content="segjax.report">'


def page(
    runs: Sequence[Run],
    examples: Sequence[Example],
    orders: Mapping[str, Sequence[str]],
    versions: Mapping[str, str],
) -> str:
  """Returns the page.

  Args:
    runs: what is reported, one or several.
    examples: images that are shown.
    orders: {title: keys of the images in this order}.
    versions: {package: version} of the program that predicted the images.
  """
  sections = [
      ('summary', 'Scores', scores.summary(runs)),
      ('curves', 'Curves', curves.section(runs)),
      ('classes', 'Classes', scores.by_class(runs)),
      ('confusion', 'Confusion', confusion.section(runs)),
      ('images', 'Images', images.section(runs, examples, orders)),
      ('configs', 'Configs', origin.configs(runs)),
      (
          'origin',
          'Origin',
          origin.starts(runs) + origin.packages(runs, versions),
      ),
  ]
  names = ', '.join(run.name for run in runs)
  return Markup(
      '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
      '<meta name="viewport" content="width=device-width, initial-scale=1">'
      # Nothing is loaded from anywhere, whatever the page holds.
      '<meta http-equiv="Content-Security-Policy" content="default-src'
      " 'none'; img-src data:; style-src 'unsafe-inline'; script-src"
      ' \'unsafe-inline\'">{generator}<title>{names} - segjax</title>'
      '<style>{style}</style></head><body>'
      '<a class="skip" href="#main">Skip to the scores</a>'
      '<header class="bar"><strong>segjax</strong><nav aria-label="Sections">'
      '{links}</nav><button type="button" id="theme">Dark or light</button>'
      '</header><main id="main"><h1>{title}</h1>{runs}{body}</main>'
      '<dialog id="zoom" aria-label="Picture in full"><form method="dialog">'
      '<button>Close</button></form><img alt=""><p></p></dialog>'
      '<script>{script}</script></body></html>\n'
  ).format(
      generator=Markup(GENERATOR),
      names=names,
      title='Report on a run' if len(runs) == 1 else 'Report on runs',
      style=Markup(web.resource('style.css')),
      script=Markup(web.resource('theme.js') + web.resource('report.js')),
      links=joined('<a href="#{}">{}</a>', ((i, t) for i, t, _ in sections)),
      runs=scores.run_list(runs),
      body=joined(
          '<section id="{0}" aria-labelledby="{0}-title"><h2 id="{0}-title">'
          '{1}</h2>{2}</section>',
          sections,
      ),
  )
