"""The NumPy engine: its modules bound to the contract."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import numpy as np

from . import numpy_gru, numpy_lstm, numpy_minlstm, numpy_training
from .contract import Array, Cell, Lengths, Tape
from .equations.lstm import LSTMEquations
from .saturation import clip_extremes
from .stepwise import stepwise_cell
from .variant import Variant


class NumpyCell:
    """Binds the functions of one NumPy module to the contract."""

    def __init__(self, functions: ModuleType) -> None:
        self._f = functions

    def pack(self, *parameters: Array) -> Any:
        """Return what the module makes of the parameters."""
        return self._f.pack(*parameters)

    def forward(
        self, weights: Any, x: Array, state: Array, lengths: Lengths, reverse: bool, record: bool, y: Array,
        final: Array,
    ) -> Tape | None:  # fmt: skip
        """Run over a batch."""
        with np.errstate(all="ignore"):
            outputs, *last, tape = self._f.forward(weights, clip_extremes(x), *state, lengths, reverse, record)
        y[...] = outputs
        for part, value in zip(final, last, strict=True):
            part[...] = value
        return cast("Tape | None", tape)

    def plain_call(self, weights: Any) -> None:
        """There is no quicker way."""

    def backward(
        self, weights: Any, tape: Tape, dy: Array, dfinal: Array, out: tuple[Array, ...], dstate: Array
    ) -> Array | None:
        """Walk a tape back."""
        with np.errstate(all="ignore"):
            dx, *dinitial = self._f.backward(weights, tape, dy, *dfinal, *out)
        for part, value in zip(dstate, dinitial, strict=True):
            part[...] = value
        return cast("Array | None", dx)

    def stepper(self, weights: list[Any], states: list[tuple[Array, ...]], x: Array) -> Callable[[], object]:
        """Return a function that takes a stack one step on."""
        steppers = [self._f.Stepper(w, *state) for w, state in zip(weights, states, strict=True)]

        def step() -> None:
            with np.errstate(all="ignore"):
                h = clip_extremes(x)
                for stepper in steppers:
                    h = stepper(h)

        return step


class NumpyEngine:
    """The engine that is always available. See :class:`~compuerta.recurrence.contract.Engine`."""

    name = "numpy"
    lstm: Cell = NumpyCell(numpy_lstm)
    gru: Cell = NumpyCell(numpy_gru)

    def lstm_variant(self, variant: Variant) -> Cell:
        """Return the LSTM with these switches."""
        return self.lstm if variant.plain else stepwise_cell(LSTMEquations(variant))

    dense = staticmethod(numpy_training.dense)
    dense_back = staticmethod(numpy_training.dense_back)
    cross_entropy = staticmethod(numpy_training.cross_entropy)
    dense_cross_entropy = staticmethod(numpy_training.dense_cross_entropy)
    sum_of_squares = staticmethod(numpy_training.sum_of_squares)
    all_finite = staticmethod(numpy_training.all_finite)
    adam = staticmethod(numpy_training.adam)


#: The minimal LSTM, which no other engine has.
MIN_LSTM: Cell = NumpyCell(numpy_minlstm)
