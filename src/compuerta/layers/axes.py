"""The axes of a trace: lengths of rows, numbers of steps and units, the text or series that was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError

Array = NDArray[Any]
Numbers = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Axes:
    """What the rows, steps and units of a trace are.

    Attributes:
        lengths: (N,) ints, or None where no row is padded.
        steps: (T,) numbers of the steps; None for 0 to T − 1.
        units: numbers of the units of each layer; None for all.
        text, labels, values_in: what was read at each of the T steps, where that is known and it was one row: a text,
            one label for each step, the numbers of a series.
        vocabulary: the characters that a language model knows, in the order of its outputs.
    """

    lengths: Numbers | None = None
    steps: Numbers | None = None
    units: list[Numbers] | None = None
    text: str | None = None
    labels: list[str] | None = None
    values_in: Array | None = None
    vocabulary: str | None = None

    def check(self, n: int, t: int) -> None:
        """Refuse axes that do not fit N rows and T steps.

        Raises:
            ShapeError: a length differs.
        """
        for name, size in (("lengths", n), ("steps", t), ("text", t), ("labels", t), ("values_in", t)):
            value = getattr(self, name)
            if value is not None and len(value) != size:
                raise ShapeError("error.gradient", name="Trace", argument=name, expected=(size,), got=(len(value),))

    def select(self, rows: Numbers, steps: Numbers, t: int, units: list[Numbers]) -> Axes:
        """Return the axes of some rows and steps, by index, of T; ``units`` are the numbers of the units."""
        return Axes(
            lengths=None if self.lengths is None else (steps[None] < self.lengths[rows, None]).sum(axis=1),
            steps=(np.arange(t) if self.steps is None else self.steps)[steps],
            units=units,
            text=None if self.text is None else "".join(self.text[k] for k in steps),
            labels=None if self.labels is None else [self.labels[k] for k in steps],
            values_in=None if self.values_in is None else self.values_in[steps],
            vocabulary=self.vocabulary,
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any], shape: tuple[int, int], layers: int, values: Array | None) -> Axes:
        """Return the axes of a trace from an untrusted file. ValueError: they are not valid."""

        def numbers(name: str, entries: Any, count: int, high: float = np.inf) -> Numbers:
            if len(entries) != count or any(type(k) is not int or not 0 <= k <= high for k in entries):
                raise ValueError(name)
            return np.array(entries, np.intp)

        (n, t), (text, labels, vocabulary) = shape, (content[k] for k in ("text", "labels", "vocabulary"))
        lengths = None if content["lengths"] is None else numbers("lengths", content["lengths"], n, t)
        steps = numbers("steps", content["steps"], t)
        if len(content["units"]) != layers:
            raise ValueError("units")
        units = [numbers("units", each, len(each)) for each in content["units"]]
        for name, value, kind in (("text", text, str), ("labels", labels, list)):
            if value is not None and type(value) is not kind:
                raise ValueError(name)
        if not all(isinstance(each, str) for each in (vocabulary or "", *(labels or ()))):
            raise ValueError("labels")
        return cls(lengths, steps, units, text, labels, values, vocabulary)
