"""The mathematics over time, as functions on plain arrays behind one contract, and the choice of who computes it.

An engine packs weights once, runs a batch forward, walks a tape backward and steps a stream. Layers talk to the engine
that :func:`active` returns and know nothing of what is behind it: a second engine is one more object with the methods
of :class:`Engine`.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from . import numpy_gru, numpy_lstm
from .tape import Tape

__all__ = ["Cell", "Engine", "Tape", "active", "engine", "use_engine"]

Array = NDArray[Any]
Lengths = NDArray[np.intp] | None


class Cell(Protocol):
    """What an engine offers for one kind of cell.

    Shapes, with N rows, T steps, F inputs, H units, G blocks (4 in an LSTM, 3 in a GRU):

    - ``parameters``: ``w_x`` (G·H, F), ``w_h`` (G·H, H), ``b`` (G·H,), blocks in the public order; and ``b_hn``
      (H,) in a GRU that resets after the product.
    - ``x``: (N, T, F), or (N, T) token ids, of which the columns of ``w_x`` are gathered.
    - ``state``: ``(h, c)`` or ``(h,)``, each (N, H).
    - ``lengths``: (N,) ints in [0, T] or None. Past its length a row's output is zero, its state stands still and
      its inputs are not read.
    - ``reverse``: each row is read from its last valid step to its first; outputs stand where their inputs stand.

    All arrays have the dtype of the weights (float32, float64; the NumPy engine takes complex128 too, for complex-step
    derivatives). Inputs are never written to. N and T may be 0. No NaN or infinity raises or warns.
    """

    def pack(self, *parameters: Array) -> Any:
        """Return the weights as this engine wants them. They hold until the parameters change."""

    def forward(
        self, weights: Any, x: Array, state: tuple[Array, ...], lengths: Lengths, reverse: bool, record: bool
    ) -> tuple[Array, tuple[Array, ...], Tape | None]:
        """Return ``y`` (N, T, H), which may be a view of the tape, the final state, and the tape if ``record``."""

    def backward(
        self, weights: Any, tape: Tape, dy: Array, dstate: tuple[Array, ...], out: tuple[Array, ...]
    ) -> tuple[Array | None, tuple[Array, ...]]:
        """Write the gradients of the parameters into ``out`` and return ``dx`` (None for token ids) and ``dstate``."""

    def stepper(self, weights: Any, state: tuple[Array, ...]) -> Any:
        """Return an object that steps ``state`` in place when called with ``x`` (N, F) or (N,), and returns h."""


class Engine(Protocol):
    """A name and one :class:`Cell` for each kind."""

    name: str
    lstm: Cell
    gru: Cell


class _NumpyCell:
    """Binds the functions of one NumPy module to the contract."""

    def __init__(self, functions: ModuleType) -> None:
        self._f = functions

    def pack(self, *parameters: Array) -> Any:
        return self._f.pack(*parameters)

    def forward(
        self, weights: Any, x: Array, state: tuple[Array, ...], lengths: Lengths, reverse: bool, record: bool
    ) -> tuple[Array, tuple[Array, ...], Tape | None]:
        with np.errstate(all="ignore"):
            y, *final, tape = self._f.forward(weights, x, *state, lengths, reverse, record)
        return y, tuple(final), tape

    def backward(
        self, weights: Any, tape: Tape, dy: Array, dstate: tuple[Array, ...], out: tuple[Array, ...]
    ) -> tuple[Array | None, tuple[Array, ...]]:
        with np.errstate(all="ignore"):
            dx, *dinitial = self._f.backward(weights, tape, dy, *dstate, *out)
        return dx, tuple(dinitial)

    def stepper(self, weights: Any, state: tuple[Array, ...]) -> Any:
        return self._f.Stepper(weights, *state)


class _NumpyEngine:
    name = "numpy"
    lstm: Cell = _NumpyCell(numpy_lstm)
    gru: Cell = _NumpyCell(numpy_gru)


_ENGINES: dict[str, Engine] = {"numpy": _NumpyEngine()}
_active: Engine | None = None


def active() -> Engine:
    """Return the engine that layers use now: the one chosen, else ``COMPUERTA_ENGINE``, else the best there is."""
    global _active
    if _active is None:
        _active = _find(os.environ.get("COMPUERTA_ENGINE") or "numpy")
    return _active


def _find(name: str) -> Engine:
    if name not in _ENGINES:
        raise SettingError("error.engine", got=repr(name), known=", ".join(sorted(_ENGINES)))
    return _ENGINES[name]


def engine() -> str:
    """Return the name of the engine that runs.

    >>> from compuerta import engine
    >>> engine()
    'numpy'
    """
    return active().name


def use_engine(name: str) -> None:
    """Choose the engine by name, for the whole process.

    Raises:
        SettingError: there is no such engine here.
    """
    global _active
    _active = _find(name)
