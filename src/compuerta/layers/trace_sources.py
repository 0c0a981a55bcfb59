"""The sources of a trace's numbers: a recorded run, stored arrays, or a selection from either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from ..recurrence import Clamps

Array = NDArray[Any]


class Source(Protocol):
    """The source of a trace's numbers."""

    @property
    def run(self) -> RecordedRun | None:
        """The recorded run, if this source is one."""

    def directions(self, layer: int) -> int:
        """Return how many directions a layer reads in."""

    def width(self, layer: int) -> int:
        """Return how many units a layer has here."""

    def read(self, key: str, layer: int, direction: int) -> Array:
        """Return one quantity, (N, T, H). KeyError: there is none such."""

    def initial(self, part: str, layer: int, direction: int) -> Array:
        """Return one part of the state that a layer started from, (N, H). KeyError: there is none such."""

    def inputs(self, layer: int) -> Array:
        """Return what a layer read, (N, T, F) or (N, T). KeyError: that is not known."""

    def ran(self, layer: int, direction: int) -> tuple[Any, Clamps]:
        """Return the layer that ran, and what was clamped in it. KeyError: that is not known."""


class RecordedRun(Source, Protocol):
    """A source that can walk back: see :class:`compuerta.layers.recorded_run.Run`."""

    @property
    def nodes(self) -> Sequence[Any]:
        """The layers that ran, one after another, each with its inputs and its tape."""

    def gradients(self, dy: Array) -> dict[Any, Array]:
        """Return dL/d(every quantity of every layer) from dL/dy."""

    def gradients_by_step(
        self, dy: Array, layer: int, outputs: NDArray[np.intp], keys: Sequence[str] | None, norms: bool
    ) -> dict[Any, Array]:
        """Return the gradients of a layer and those above it in its stack, for each of some steps' outputs alone."""

    def down_to(self, layer: int, dy: Array) -> Array:
        """Return the gradient of the outputs of the stack of a layer from that of the model's outputs."""


class Stored:
    """A source of stored arrays."""

    run = None

    def __init__(self, arrays: Mapping[tuple[str, int, int], Array], directions: Sequence[int]) -> None:
        self._arrays, self._directions = arrays, directions

    def directions(self, layer: int) -> int:
        """Return how many directions a layer reads in."""
        return self._directions[layer]

    def width(self, layer: int) -> int:
        """Return how many units a layer has; with a projection, the units of its cell."""
        return max(int(values.shape[2]) for (_, k, _), values in self._arrays.items() if k == layer)

    def read(self, key: str, layer: int, direction: int) -> Array:
        """Return one quantity, (N, T, H), in an array of its own."""
        return self._arrays[key, layer, direction].copy()

    def initial(self, part: str, layer: int, direction: int) -> Array:
        """Return one part of the state that a layer started from, (N, H)."""
        return self._arrays[f"initial_{part}", layer, direction][:, 0]

    def inputs(self, layer: int) -> Array:
        """Tell that it is not known."""
        raise KeyError("inputs")

    def ran(self, layer: int, direction: int) -> tuple[Any, Clamps]:
        """Tell that it is not known."""
        raise KeyError("layer")


class Selected:
    """Some rows, steps and units of another source, whose rows have ``lengths``."""

    run = None

    def __init__(
        self,
        of: Source,
        lengths: NDArray[np.intp] | None,
        rows: NDArray[np.intp],
        steps: NDArray[np.intp],
        units: list[NDArray[np.intp]] | None,
    ) -> None:
        self.of, self.lengths, self.rows, self.steps, self.units = of, lengths, rows, steps, units

    def within(self, part: Selected) -> Selected:
        """Return a selection from this selection as one from the same source."""
        units = part.units if self.units is None else self.units
        if self.units is not None and part.units is not None:
            units = [numbers[here] for numbers, here in zip(self.units, part.units, strict=True)]
        return Selected(self.of, self.lengths, self.rows[part.rows], self.steps[part.steps], units)

    def of_another(self, source: Source) -> Selected:
        """Return the same rows, steps and units of another source with the same axes."""
        return Selected(source, self.lengths, self.rows, self.steps, self.units)

    def directions(self, layer: int) -> int:
        """Return how many directions a layer reads in."""
        return self.of.directions(layer)

    def width(self, layer: int) -> int:
        """Return how many units of a layer are here."""
        return self.of.width(layer) if self.units is None else len(self.units[layer])

    def read(self, key: str, layer: int, direction: int) -> Array:
        """Return one quantity, (N, T, H), in an array of its own."""
        whole = self.of.read(key, layer, direction)
        return np.ascontiguousarray(whole[self.rows][:, self.steps][:, :, self._of(layer, whole)])

    def _of(self, layer: int, values: Array) -> Any:
        """Return which columns of ``values`` are here: those of the units, or all of a projection that lacks one."""
        units = slice(None) if self.units is None else self.units[layer]
        return units if isinstance(units, slice) or units.max(initial=-1) < values.shape[-1] else slice(None)

    def initial(self, part: str, layer: int, direction: int) -> Array:
        """Return what stood before the first of the steps that are here, in the direction of reading."""
        values = self.of.read(part, layer, direction)
        first, last = (int(self.steps[0]), int(self.steps[-1])) if len(self.steps) else (0, values.shape[1] - 1)
        before = self.of.initial(part, layer, direction)
        if direction == 0 and first > 0:
            before = values[:, first - 1]
        elif direction == 1 and last + 1 < values.shape[1]:
            inside = np.full(len(values), True) if self.lengths is None else self.lengths > last + 1
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
