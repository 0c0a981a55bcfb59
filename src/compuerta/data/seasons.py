"""The season of a series: its length, and what it says of the values that are missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


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


def fill(z: Array, missing: Array, period: int | None) -> Array:
    """Return ``z`` (T,) with the values that are ``missing`` (T,) as the season would have them.

    The differences from a season before, or from the season after where nothing comes before, are interpolated over
    the gap and added to it, so that level and trend go through; without a season, or with less than two, the values
    themselves are interpolated.

    >>> z = 10 * np.arange(8.0) + np.tile([0, 5], 4)
    >>> fill(np.where(np.arange(8) == 4, np.nan, z), np.arange(8) == 4, 2).tolist() == z.tolist()
    True
    """
    filled, steps = np.where(missing, np.nan, z), np.arange(len(z))
    if period and period > 1 and len(z) >= 2 * period:
        for row in (filled, filled[::-1]):  # forwards, then backwards for what has no season before it
            _seasonal(row, period)
    gaps = np.isnan(filled)
    filled[gaps] = np.interp(steps[gaps], steps[~gaps], filled[~gaps])
    return filled


def _seasonal(z: Array, period: int) -> None:
    """Fill the NaN of ``z`` in place, each from the value a season before it."""
    differences = z[period:] - z[:-period]
    anchors = np.flatnonzero(~np.isnan(differences)) + period
    if not len(anchors):
        return
    change = np.interp(np.arange(len(z)), anchors, differences[anchors - period])
    for t in np.flatnonzero(np.isnan(z)):
        if t >= period:
            z[t] = z[t - period] + change[t]
