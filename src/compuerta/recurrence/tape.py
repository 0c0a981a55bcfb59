"""The NumPy engine's tape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .clamps import NO_CLAMPS, Clamps
from .packing import Packing

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class NumpyTape:
    """One layer and direction over one batch. P packed rows, N rows of the batch, H hidden units (see Packing).

    Attributes:
        packing: which packed row is which step of which row.
        x: (P, F) inputs, or (P,) token ids.
        slots: names of the blocks of ``gates``, in their order.
        gates: (len(slots), P, H), after activation.
        h: (N + P, H), the initial hidden state, then the one after each packed row.
        c: (N + P, H), the same for the cell state; None in a GRU.
        extra: (P, H): tanh(c) in an LSTM; in a GRU the recurrent part q of the candidate (or r⊙h where the reset
            gate acts before the product).
    """

    packing: Packing
    x: Array
    slots: tuple[str, ...]
    gates: Array
    h: Array
    c: Array | None
    extra: Array

    clamps: ClassVar[Clamps] = NO_CLAMPS
    stepwise: ClassVar[bool] = False

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities that :meth:`read` knows."""
        return ("i", "f", "g", "o", "c", "h") if self.c is not None else ("r", "z", "n", "h")

    def read(self, key: str) -> Array:
        """Return one quantity as (N, T, H), zeros past each row's length, in an array of its own.

        Raises:
            KeyError: this cell has no such quantity.
        """
        rows: Array | None
        if key in self.slots:
            rows = self.gates[self.slots.index(key)]
        elif key in ("h", "c"):
            history = self.h if key == "h" else self.c
            rows = None if history is None else history[self.packing.n :]
        else:
            rows = None
        if rows is None:
            raise KeyError(key)
        return np.require(self.packing.unpack(rows), requirements=["C", "O"])
