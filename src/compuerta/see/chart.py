"""A series and its forecast as a few lines of text, for a terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def series_chart(past: Array, future: Array, name: str = "", *, width: int = 68, height: int = 12) -> str:
    """Return a chart of the end of ``past`` and all of ``future``, at most ``width`` columns of dots.

    Past values are ``·``, the forecast is ``●``; the numbers at the left are the highest and lowest shown.

    >>> print(series_chart(np.arange(6.0), np.array([6.0, 7.0]), height=4))
    7 │      ●●
      │    ··
      │  ··
    0 │··
    """
    if len(future) > width * 2 // 3:  # thinned out, so that the past keeps its third
        future = future[np.linspace(0, len(future) - 1, width * 2 // 3).round().astype(int)]
    window = np.concatenate((past[len(past) - min(len(past), width - len(future)) :], future))
    start = len(window) - len(future)
    low, high = float(window.min()), float(window.max())
    span = high - low or 1.0
    rows = np.rint((window - low) / span * (height - 1)).astype(int)
    labels = {height - 1: _label(high), 0: _label(low)}
    margin = max(map(len, labels.values()))
    lines = [f"{'':>{margin}} {name}"] if name else []
    before = np.concatenate((rows[:1], rows[:-1]))  # a column reaches from the value before to its own
    bottom, top = np.minimum(rows, before + 1), np.maximum(rows, before - 1)
    for r in reversed(range(height)):
        marks = ("●" if k >= start else "·" for k in range(len(window)))
        dots = "".join(m if bottom[k] <= r <= top[k] else " " for k, m in enumerate(marks))
        lines.append(f"{labels.get(r, ''):>{margin}} │{dots.rstrip()}")
    return "\n".join(lines)


def _label(value: float) -> str:
    return f"{value:.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"
