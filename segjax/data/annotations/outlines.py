"""Outlines [N, 2] of (x, y) of shapes that annotation programs know."""

from collections.abc import Sequence

import numpy as np

CORNERS = 180  # Of the polygon that an ellipse becomes.


def rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
  """Returns the corners of a rectangle."""
  return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def ellipse(
    center: Sequence[float], radii: float | Sequence[float]
) -> np.ndarray:
  """Returns a polygon of an ellipse, or of a circle if there is one radius."""
  angles = np.arange(CORNERS) * 2 * np.pi / CORNERS
  circle = np.stack([np.cos(angles), np.sin(angles)], 1)
  return np.asarray(center) + circle * radii


def turned(outline: np.ndarray, angle: float) -> np.ndarray:
  """Returns an outline turned around its middle, by radians clockwise."""
  middle = (outline.min(0) + outline.max(0)) / 2
  sine, cosine = np.sin(angle), np.cos(angle)
  return (outline - middle) @ np.array(
      [(cosine, sine), (-sine, cosine)]
  ) + middle
