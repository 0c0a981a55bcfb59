"""From one series to training windows: a network's inputs and targets, and how its outputs become a forecast.

The network never sees levels. Its output is how far the future will be from a naive forecast, the *base*, in units of
the usual error of that naive forecast:

- view ``"last"``: the base is the last value; the window shows its values less the last one, and their differences;
- view ``"season"``: the base is the value one season before; the window shows seasonal differences, and its values
  less the last one.

Both see where in the season each step lies, as sine and cosine. An average over views errs less than either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.seasons import estimate_period as estimate_period

Array = NDArray[Any]
#: Channels of a window: two of values, two of the season.
CHANNELS = 4


def naive(z: Array, horizon: int) -> Array:
    """Return the last value, (h,) times.

    >>> naive(np.array([1.0, 2.0]), 2)
    array([2., 2.])
    """
    return np.full(horizon, z[-1])


def seasonal_naive(z: Array, horizon: int, period: int) -> Array:
    """Return the last season over again; the last value where the series is shorter than a season.

    >>> seasonal_naive(np.array([1.0, 2.0, 3.0]), 4, 2)
    array([2., 3., 2., 3.])
    """
    if len(z) < period:
        return naive(z, horizon)
    return np.resize(z[len(z) - period :], horizon)


def seasonal_scale(z: Array, period: int) -> float:
    """Return the mean absolute error of the seasonal naive forecast inside ``z``: the unit of MASE.

    Source: Hyndman and Koehler 2006.
    """
    lag = period if len(z) > period else 1
    scale = float(np.abs(z[lag:] - z[:-lag]).mean()) if len(z) > lag else 0.0
    return scale if scale > 0 else 1.0


@dataclass(frozen=True)
class View:
    """How one member of the ensemble looks at a series; ``scale`` is learnt from the training part."""

    base: str
    window: int
    horizon: int
    period: int
    scale: float = 1.0

    @property
    def reach(self) -> int:
        """Values that a window needs before its first forecast."""
        return self.window + (self.period if self.base == "season" else 1)

    def inputs(self, z: Array, origins: Array, phase: int = 0) -> Array:
        """Return the windows (M, W, C) that end at ``origins`` (M,), indices into ``z`` (values on a common scale).

        ``phase`` is how many steps after the start of the series it learnt from ``z`` begins.
        """
        at = origins[:, None] + np.arange(1 - self.window, 1)
        relative = z[at] - z[origins][:, None]
        if self.base == "season":
            first, second = z[at] - z[at - self.period], relative
        else:
            first, second = relative, z[at] - z[at - 1]
        angle = 2 * math.pi * (at + phase) / self.period
        season = (np.sin(angle), np.cos(angle)) if self.period > 1 else (np.zeros(at.shape), np.zeros(at.shape))
        return np.stack((first / self.scale, second / self.scale, *season), axis=2)

    def bases(self, z: Array, origins: Array) -> Array:
        """Return the naive forecasts (M, h) from each origin."""
        if self.base == "last":
            return np.repeat(z[origins][:, None], self.horizon, axis=1)
        k = np.arange(self.horizon)
        return z[origins[:, None] + 1 + k % self.period - self.period]

    def targets(self, z: Array, origins: Array, observed: Array | None = None) -> Array:
        """Return what the network learns to give, (M, h): the future less the base, over the scale.

        ``known`` is ``z`` with NaN for what is missing, and so are those targets.
        """
        future = (z if observed is None else observed)[origins[:, None] + 1 + np.arange(self.horizon)]
        return (future - self.bases(z, origins)) / self.scale

    def forecasts(self, z: Array, origins: Array, y: Array) -> Array:
        """Return forecasts (M, h) from the network's outputs (M, h)."""
        return self.bases(z, origins) + self.scale * y
