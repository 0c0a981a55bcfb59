"""From one series to training windows: what the network sees, what it must say, and how its word becomes a forecast.

The network never sees levels. It says how far the future will be from a naive forecast, the *base*, in units of how far
that naive forecast usually is off:

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


def estimate_period(z: Array) -> int:
    """Return the season's length by the highest peak of the autocorrelation, or 1 where none stands out.

    >>> estimate_period(np.sin(np.arange(200) * 2 * np.pi / 24))
    24
    """
    n = len(z)
    if n < 12 or not np.ptp(z) > 0:
        return 1
    t = np.arange(n)
    level = z - np.poly1d(np.polyfit(t, z, 1))(t)
    if not np.std(level) > 1e-9 * np.std(z):
        return 1
    acf, of_steps = _autocorrelation(level), _autocorrelation(np.diff(z))
    # A wandering series correlates with itself at long lags too, but its steps do not.
    least = max(0.15, 3 / math.sqrt(n))
    peaks = [
        k
        for k in range(2, min(len(acf), len(of_steps)) - 1)
        if acf[k] > max(0.5, acf[k - 1]) and acf[k] >= acf[k + 1] and of_steps[k] > least
    ]
    if not peaks:
        return 1
    best = max(acf[k] for k in peaks)
    return next(k for k in peaks if acf[k] > best - 0.05)  # the first of about the same height: not its multiples


def _autocorrelation(z: Array) -> Array:
    """Return the correlation of ``z`` with itself at lags 0 to n/3, each over the steps that overlap."""
    n = len(z)
    spectrum = np.fft.rfft(z - z.mean(), 2 * n)
    sums = np.fft.irfft(spectrum * spectrum.conj())[: n // 3]
    acf: Array = sums / (np.arange(n, n - len(sums), -1) / n) / max(float(sums[0]), 1e-300)
    return acf


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

    def targets(self, z: Array, origins: Array) -> Array:
        """Return what the network must say, (M, h): the future less the base, over the scale."""
        future = z[origins[:, None] + 1 + np.arange(self.horizon)]
        return (future - self.bases(z, origins)) / self.scale

    def forecasts(self, z: Array, origins: Array, said: Array) -> Array:
        """Return forecasts (M, h) from what the network said."""
        return self.bases(z, origins) + self.scale * said
