"""Data with known answers: a seasonal series, and the adding problem."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import checks


def seasonal_series(
    n: int,
    period: int = 12,
    rng: np.random.Generator | int | None = None,
    *,
    trend: float = 0.5,
    amplitude: float = 10.0,
    noise: float = 1.0,
) -> NDArray[np.float64]:
    """Return a series (n,): a level of 100, a straight trend, one sine wave per period and normal noise.

    Args:
        n: how many values.
        period: steps in one season.
        rng: a Generator or a seed.
        trend: what each step adds.
        amplitude: height of the wave.
        noise: standard deviation of the noise.

    Raises:
        SettingError: a size is not a positive integer, or a number is not finite.

    >>> seasonal_series(5, period=4, trend=0.0, noise=0.0).round(6).tolist()
    [100.0, 110.0, 100.0, 90.0, 100.0]
    """
    n, period = checks.count(n, "n"), checks.count(period, "period")
    trend, amplitude = checks.number(trend, "trend"), checks.number(amplitude, "amplitude")
    noise = checks.number(noise, "noise", low=0.0)
    t = np.arange(n, dtype=np.float64)
    wave = amplitude * np.sin(2 * np.pi * t / period)
    return 100.0 + trend * t + wave + noise * checks.generator(rng, "seasonal_series").standard_normal(n)


def adding_problem(
    n: int, t: int, rng: np.random.Generator | int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return ``n`` sequences of length ``t`` in which two numbers are marked, and the sum of the two.

    The first feature is uniform in [0, 1); the second is 1 at one step of the first half and at one of the second,
    and 0 elsewhere. Predicting 1 always has a mean squared error of 1/6; remembering both numbers has none.

    Returns:
        ``x``: (N, T, 2); ``y``: (N, 1).

    Raises:
        SettingError: ``n`` is below 1 or ``t`` is below 2.

    Source: Hochreiter and Schmidhuber (1997), in the form used since Le, Jaitly and Hinton (2015).

    >>> x, y = adding_problem(3, 10, rng=0)
    >>> x.shape, y.shape, bool(np.allclose((x[..., 0] * x[..., 1]).sum(axis=1), y[:, 0]))
    ((3, 10, 2), (3, 1), True)
    """
    n, t = checks.count(n, "n"), checks.count(t, "t", low=2)
    rng = checks.generator(rng, "adding_problem")
    x = np.zeros((n, t, 2), dtype=np.float32)
    x[..., 0] = rng.random((n, t), dtype=np.float32)
    row = np.arange(n)
    first, second = rng.integers(0, t // 2, n), rng.integers(t // 2, t, n)
    x[row, first, 1] = x[row, second, 1] = 1.0
    return x, (x[row, first, 0] + x[row, second, 0])[:, None]
