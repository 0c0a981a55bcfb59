"""Clamps: units of a cell kept at a value of one's choice. What would the network do if this gate never closed?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Clamps:
    """The clamped units of each quantity, with their values.

    What is computed from a clamped value follows it (with f = 1 − i, clamping i moves f); what it would have been
    computed from no longer reaches it, so no gradient passes.

    >>> clamps = Clamps({"f": {1: 0.0}})
    >>> clamps.apply("f", np.array([[0.25, 0.5]])), clamps.mask_gradient("f", np.array([[3.0, 3.0]]))
    (array([[0.25, 0.  ]]), array([[3., 0.]]))
    """

    __slots__ = ("_at",)

    def __init__(self, values: Mapping[str, Mapping[int, float]]) -> None:
        self._at = {k: (list(units), np.array(list(units.values()))) for k, units in values.items() if units}

    def __bool__(self) -> bool:
        return bool(self._at)

    def units(self, key: str) -> list[int]:
        """Return the clamped units of one quantity."""
        return list(self._at[key][0]) if key in self._at else []

    def apply(self, key: str, array: Array) -> Array:
        """Return ``array`` (N, H) with the clamped units set to their values; ``array`` itself if none is clamped."""
        return self._put(key, array, 1)

    def mask_gradient(self, key: str, gradient: Array) -> Array:
        """Return ``gradient`` (N, H) with zeros for the clamped units."""
        return self._put(key, gradient, 0)

    def _put(self, key: str, array: Array, share: int) -> Array:
        if key not in self._at:
            return array
        units, values = self._at[key]
        out = array.copy()
        out[:, units] = values * share
        return out


#: No unit is clamped.
NO_CLAMPS = Clamps({})
