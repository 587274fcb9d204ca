import json

import numpy as np
import pytest

from segjax.web import charts
from tests.web import html


@pytest.mark.parametrize(
    ('low', 'high'), [(0.13, 0.92), (-3, 2e5), (1e-6, 3e-6), (5, 5), (0, 0)]
)
def test_ticks_are_round_and_enclose_the_values(low, high):
  ticks = charts.nice_ticks(low, high)
  assert ticks[0] <= low <= high <= ticks[-1]
  assert 3 <= len(ticks) <= 8
  steps = np.diff(ticks)
  np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
  lead = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-9)
  assert min(abs(lead - x) for x in (1, 2, 2.5, 5)) < 1e-6


def test_a_long_line_becomes_means_of_neighbours():
  line = {step: float(step) for step in range(1, 3001)}
  thinned = charts.thin(line)
  assert len(thinned) == charts.POINTS
  assert thinned[0] == (10, 5.5)
  assert thinned[-1] == (3000, 2995.5)
  assert charts.thin({1: None, 2: 3.0}) == [(1, None), (2, 3.0)]


def test_a_chart_is_drawn_and_told():
  lines = [{0: 1.0, 10: None, 20: 3.0, 30: 2.0}, {30: 5.0}, {}]
  drawn = charts.line_chart('a <b>', lines, ['x', '<y>', 'z'])
  page = html.Page(str(drawn))
  first, second, empty = (a['d'] for a, _ in page.find('path'))
  assert first.count('M') == 2  # It is interrupted where there is no value.
  assert second.endswith('h0')
  assert not empty
  assert page.find('figcaption')[0][1] == 'a <b>'
  said = page.find('svg')[0][0]['aria-label']
  assert said == (
      'x from 1 at step 0 to 2 at step 30;'
      ' <y> from 5 at step 30 to 5 at step 30'
  )
  data = json.loads(page.find('figure')[0][0]['data-chart'])
  assert data['lines'][0] == [[0, 1.0], [20, 3.0], [30, 2.0]]
  assert not charts.line_chart('nothing', [{1: None}], ['x'])
