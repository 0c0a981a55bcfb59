"""Where a trace reads its numbers: arrays that are there, or a part of another trace; the run itself is in inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from ..recurrence import Clamps

if TYPE_CHECKING:
    from .trace import Trace

Array = NDArray[Any]


class Source(Protocol):
    """Where a trace reads its numbers."""

    def directions(self, layer: int) -> int:
        """Return how many directions a layer reads in."""

    def read(self, key: str, layer: int, direction: int) -> Array:
        """Return one quantity, (N, T, H). KeyError: there is none such."""

    def initial(self, part: str, layer: int, direction: int) -> Array:
        """Return one part of the state that a layer started from, (N, H). KeyError: there is none such."""

    def inputs(self, layer: int) -> Array:
        """Return what a layer read, (N, T, F) or (N, T). KeyError: that is not known."""

    def ran(self, layer: int, direction: int) -> tuple[Any, Clamps]:
        """Return the layer that ran, and what was clamped in it. KeyError: that is not known."""


class Stored:
    """A source of arrays that are there."""

    def __init__(self, found: Mapping[tuple[str, int, int], Array], directions: Sequence[int]) -> None:
        self._found, self._directions = found, directions

    def directions(self, layer: int) -> int:
        """Return how many directions a layer reads in."""
        return self._directions[layer]

    def read(self, key: str, layer: int, direction: int) -> Array:
        """Return one quantity, (N, T, H), in an array of its own."""
        return self._found[key, layer, direction].copy()

    def initial(self, part: str, layer: int, direction: int) -> Array:
        """Return one part of the state that a layer started from, (N, H)."""
        return self._found[f"initial_{part}", layer, direction][:, 0]

    def inputs(self, layer: int) -> Array:
        """Tell that it is not known."""
        raise KeyError("inputs")

    def ran(self, layer: int, direction: int) -> tuple[Any, Clamps]:
        """Tell that it is not known."""
        raise KeyError("layer")


class Selected:
    """Some rows, steps and units of another trace."""

    def __init__(self, of: Trace, rows: Any, steps: Any, units: list[NDArray[np.intp]] | None) -> None:
        self.of, self.rows, self.steps, self.units = of, rows, steps, units

    def within(self, part: Selected) -> Selected:
        """Return a part of this one as a part of what this one is of."""
        units = part.units if self.units is None else self.units
        if self.units is not None and part.units is not None:
            units = [known[here] for known, here in zip(self.units, part.units, strict=True)]
        return Selected(self.of, self.rows[part.rows], self.steps[part.steps], units)

    def directions(self, layer: int) -> int:
        """Return how many directions a layer reads in."""
        return self.of.directions_of(layer)

    def read(self, key: str, layer: int, direction: int) -> Array:
        """Return one quantity, (N, T, H), in an array of its own."""
        whole = self.of[key, layer, direction]
        return np.ascontiguousarray(whole[self.rows][:, self.steps][:, :, self._of(layer, whole)])

    def _of(self, layer: int, values: Array) -> Any:
        """Return which columns of ``values`` are here: those of the units, or all of a projection that lacks one."""
        units = slice(None) if self.units is None else self.units[layer]
        return units if isinstance(units, slice) or units.max(initial=-1) < values.shape[-1] else slice(None)

    def initial(self, part: str, layer: int, direction: int) -> Array:
        """Return what stood before the first of the steps that are here, in the direction of reading."""
        values = self.of[part, layer, direction]
        first, last = (int(self.steps[0]), int(self.steps[-1])) if len(self.steps) else (0, values.shape[1] - 1)
        before = self.of.initial(part, layer, direction)
        if direction == 0 and first > 0:
            before = values[:, first - 1]
        elif direction == 1 and last + 1 < values.shape[1]:
            lengths = self.of.lengths
            inside = np.full(len(values), True) if lengths is None else lengths > last + 1
            before = np.where(inside[:, None], values[:, last + 1], before)
        return np.ascontiguousarray(before[self.rows][:, self._of(layer, before)])

    def inputs(self, layer: int) -> Array:
        """Return what a layer read."""
        if self.units is not None:
            raise KeyError("inputs")
        whole = self.of.inputs(layer)
        return np.ascontiguousarray(whole[self.rows][:, self.steps])

    def ran(self, layer: int, direction: int) -> tuple[Any, Clamps]:
        """Return the layer that ran, and what was clamped in it."""
        if self.units is not None:
            raise KeyError("layer")
        return self.of.ran(layer, direction)


def pick(which: Any, size: int, argument: str) -> NDArray[np.intp]:
    """Return the places that a slice, numbers or one number name; negative ones count from the end."""
    if which is None or isinstance(which, slice):
        return np.arange(size)[which if which is not None else slice(None)]
    numbers = np.atleast_1d(np.asarray(which))
    if numbers.size == 0:
        return np.zeros(0, np.intp)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or numbers.min() < -size or numbers.max() >= size:
        raise SettingError("error.trace_select", argument=argument, count=size, got=str(which))
    places: NDArray[np.intp] = np.where(numbers < 0, numbers + size, numbers).astype(np.intp)
    return places
