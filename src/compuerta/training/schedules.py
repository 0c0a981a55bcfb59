"""Learning-rate schedules: ``schedule(k, updates)`` is the factor for update k (from 0) of a run of ``updates``.

>>> [round(Cosine(warmup=2)(k, 6), 3) for k in range(6)]
[0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .. import checks

Schedule = Callable[[int, int], float]


@dataclass(frozen=True)
class Constant:
    """The same rate throughout, after ``warmup`` updates of linear growth."""

    warmup: int = 0

    def __post_init__(self) -> None:
        checks.count(self.warmup, "warmup", low=0)

    def __call__(self, k: int, updates: int) -> float:
        """Return the factor of update k."""
        return min(1.0, (k + 1) / (self.warmup + 1)) if self.warmup else 1.0


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 down to ``floor`` at the end, after ``warmup`` updates of linear growth.

    Source: Loshchilov and Hutter 2017, equation 5, without restarts.
    """

    warmup: int = 0
    floor: float = 0.0

    def __post_init__(self) -> None:
        checks.count(self.warmup, "warmup", low=0)
        checks.number(self.floor, "floor", low=0.0, high=1.0)

    def __call__(self, k: int, updates: int) -> float:
        """Return the factor of update k."""
        if k < self.warmup:
            return (k + 1) / self.warmup
        share = (k - self.warmup) / max(1, updates - self.warmup)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


@dataclass(frozen=True)
class Steps:
    """Multiply by ``factor`` at every ``every`` updates."""

    every: int
    factor: float = 0.5

    def __post_init__(self) -> None:
        checks.count(self.every, "every")
        checks.number(self.factor, "factor", low=0.0, open_low=True)

    def __call__(self, k: int, updates: int) -> float:
        """Return the factor of update k."""
        return self.factor ** (k // self.every)
