"""The mathematics over time, as functions on plain arrays behind one contract, and the choice of who computes it.

An engine packs weights once, runs a batch forward, walks a tape backward and steps a stream. Layers talk to the engine
that :func:`active` returns and know nothing of what is behind it: a second engine is one more object with the methods
of :class:`Engine`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, Protocol, Unpack, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import Phrase, SettingError
from . import numpy_gru, numpy_lstm, numpy_minlstm, numpy_training
from .binding import Library, load
from .clamps import Clamps
from .memory import empty
from .native import NativeEngine
from .numpy_training import AdamNumbers
from .numpy_variant import VariantCell
from .saturation import bounded
from .stepwise import OPEN_GRU, OPEN_MIN_LSTM, OpenCell
from .threads import num_threads, set_num_threads
from .variant import Variant

__all__ = [
    "OPEN_GRU",
    "OPEN_MIN_LSTM",
    "Cell",
    "Clamps",
    "Engine",
    "OpenCell",
    "Tape",
    "Variant",
    "VariantCell",
    "active",
    "empty",
    "engine",
    "engines",
    "lstm",
    "min_lstm",
    "num_threads",
    "open_lstm",
    "set_num_threads",
    "use_engine",
    "variants",
    "why_not_native",
]  # fmt: skip

Array = NDArray[Any]
Lengths = NDArray[np.intp] | None


class Tape(Protocol):
    """What a recorded forward pass keeps, in the engine's own form: for the way back, and for all who look inside."""

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities that :meth:`read` knows, those of :mod:`compuerta.gates`."""

    def read(self, key: str) -> Array:
        """Return one of them as (N, T, H), zeros past each row's length, in an array of its own."""


class Cell(Protocol):
    """What an engine offers for one kind of cell.

    Shapes, with N rows, T steps, F inputs, H units, G blocks (4 in an LSTM, 3 in a GRU):

    - ``parameters``: ``w_x`` (G·H, F), ``w_h`` (G·H, H), ``b`` (G·H,), blocks in the public order; and ``b_hn``
      (H,) in a GRU that resets after the product.
    - ``x``: (N, T, F), or (N, T) token ids, of which the columns of ``w_x`` are gathered.
    - ``state``, ``final`` and their gradients: (parts, N, H), the parts h, c or h, each of them C-contiguous.
    - ``lengths``: (N,) ints in [0, T] or None. Past its length a row's output is zero, its state stands still and
      its inputs are not read.
    - ``reverse``: each row is read from its last valid step to its first; outputs stand where their inputs stand.

    All arrays have the dtype of the weights (float32, float64; the NumPy engine takes complex128 too, for complex-step
    derivatives). Inputs are never written to. N and T may be 0. No NaN or infinity raises or warns.
    """

    def pack(self, *parameters: Array) -> Any:
        """Return the weights as this engine wants them. They hold until the parameters change."""

    def forward(
        self,
        weights: Any,
        x: Array,
        state: Array,
        lengths: Lengths,
        reverse: bool,
        record: bool,
        y: Array,
        final: Array,
    ) -> Tape | None:
        """Write the outputs into ``y`` (N, T, H), of any strides with a contiguous last axis, and the final state into
        ``final``; return the tape if ``record``."""

    def backward(
        self, weights: Any, tape: Tape, dy: Array, dfinal: Array, out: tuple[Array, ...], dstate: Array
    ) -> Array | None:
        """Write the gradients of the parameters into ``out``, that of the initial state into ``dstate``, and return
        that of ``x`` (None for token ids)."""

    def stepper(self, weights: list[Any], states: list[tuple[Array, ...]], x: Array) -> Callable[[], object]:
        """Return a function that takes a stack of layers one step on, from what then stands in ``x`` (N, F) or (N,);
        it changes the ``states`` in place, and allocates nothing."""


class Engine(Protocol):
    """A name, one :class:`Cell` for each kind, and what stands around them."""

    name: str
    lstm: Cell
    gru: Cell

    def dense(self, x: Array, w: Array, b: Array | None) -> Array:
        """Return x Wᵀ + b, of ``x`` (R, K), ``w`` (V, K) and ``b`` (V,)."""

    def dense_back(self, x: Array, w: Array, dy: Array, dw: Array, db: Array | None) -> Array:
        """Return dx = dy W, and write dw = dyᵀ x and db = Σ dy."""

    def sum_of_squares(self, array: Array) -> float:
        """Return Σ a² of a flat array, in double where single would overflow."""

    def cross_entropy(self, logits: Array, targets: Array, keep: Array | None, scale: float) -> tuple[float, Array]:
        """Return Σ −log softmax(z)[target] over the rows of ``logits`` (R, V), and (softmax − one-hot) · ``scale``.

        ``targets`` are ints (R,) in [0, V). Rows where ``keep`` (R,) is False add nothing.
        """

    def dense_cross_entropy(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        targets: Array,
        keep: Array | None,
        scale: float,
        dw: Array,
        db: Array | None,
    ) -> tuple[float, Array]:
        """Return the loss of :meth:`cross_entropy` of the logits x Wᵀ + b, and dx; write dw and db.

        The same as the three methods one after another; an engine may do without ever having all logits.
        """

    def all_finite(self, array: Array) -> bool:
        """Return whether a flat array holds neither NaN nor infinity."""

    def adam(
        self,
        parameters: Array,
        gradient: Array,
        m: Array,
        v: Array,
        **numbers: Unpack[AdamNumbers],
    ) -> None:
        """Take one step of Adam in place over flat arrays; the gradient may be used as scratch space.

        m ← β1 m + (1 − β1) g, v ← β2 v + (1 − β2) g², p ← p − rate · m / (root · √v + ε); before that p shrinks by
        ``decay_parameters`` of itself and g gains ``decay_gradient`` · p.
        """


class _NumpyCell:
    """Binds the functions of one NumPy module to the contract."""

    def __init__(self, functions: ModuleType) -> None:
        self._f = functions

    def pack(self, *parameters: Array) -> Any:
        return self._f.pack(*parameters)

    def forward(
        self,
        weights: Any,
        x: Array,
        state: Array,
        lengths: Lengths,
        reverse: bool,
        record: bool,
        y: Array,
        final: Array,
    ) -> Tape | None:
        with np.errstate(all="ignore"):
            outputs, *last, tape = self._f.forward(weights, bounded(x), *state, lengths, reverse, record)
        y[...] = outputs
        for part, value in zip(final, last, strict=True):
            part[...] = value
        return cast("Tape | None", tape)

    def backward(
        self, weights: Any, tape: Tape, dy: Array, dfinal: Array, out: tuple[Array, ...], dstate: Array
    ) -> Array | None:
        with np.errstate(all="ignore"):
            dx, *dinitial = self._f.backward(weights, tape, dy, *dfinal, *out)
        for part, value in zip(dstate, dinitial, strict=True):
            part[...] = value
        return cast("Array | None", dx)

    def stepper(self, weights: list[Any], states: list[tuple[Array, ...]], x: Array) -> Callable[[], object]:
        steppers = [self._f.Stepper(w, *state) for w, state in zip(weights, states, strict=True)]

        def step() -> None:
            with np.errstate(all="ignore"):
                h = bounded(x)
                for stepper in steppers:
                    h = stepper(h)

        return step


class _NumpyEngine:
    name = "numpy"
    lstm: Cell = _NumpyCell(numpy_lstm)
    gru: Cell = _NumpyCell(numpy_gru)
    dense = staticmethod(numpy_training.dense)
    dense_back = staticmethod(numpy_training.dense_back)
    cross_entropy = staticmethod(numpy_training.cross_entropy)
    dense_cross_entropy = staticmethod(numpy_training.dense_cross_entropy)
    sum_of_squares = staticmethod(numpy_training.sum_of_squares)
    all_finite = staticmethod(numpy_training.all_finite)
    adam = staticmethod(numpy_training.adam)


@cache
def engines() -> dict[str, Engine]:
    """Return the engines that there are here, the best first; each variant of the native one has a name of its own."""
    numpy = _NumpyEngine()
    library = load()
    found: dict[str, Engine] = {}
    if isinstance(library, Library):
        variants = library.isas().decode().split()
        found["native"] = NativeEngine("native", library, 0, numpy)
        for k, variant in enumerate(variants):
            name = f"native:{variant}"
            found[name] = NativeEngine(name, library, k, numpy)
    return {**found, "numpy": numpy}


def variants() -> list[str]:
    """Return the instruction sets for which the native engine has code that runs here, the one in use first."""
    return [name.split(":")[1] for name in engines() if ":" in name]


def why_not_native() -> Phrase | None:
    """Return the reason why the native engine is not there, or None if it is."""
    library = load()
    return None if isinstance(library, Library) else library


_active: Engine | None = None


def active() -> Engine:
    """Return the engine that layers use now: the one chosen, else ``COMPUERTA_ENGINE``, else the best there is."""
    global _active
    if _active is None:
        _active = _find(os.environ.get("COMPUERTA_ENGINE") or next(iter(engines())))
    return _active


_min_lstm = _NumpyCell(numpy_minlstm)


def min_lstm() -> Cell:
    """Return the minimal LSTM, the NumPy engine's."""
    return _min_lstm


def lstm(variant: Variant) -> Cell:
    """Return the active engine's LSTM if ``variant`` is the plain cell; every other is the NumPy engine's."""
    return active().lstm if variant.plain else open_lstm(variant)


@cache
def open_lstm(variant: Variant) -> VariantCell:
    """Return the LSTM that keeps every number and can be clamped: the same for the same switches, so that
    weights packed for it are known again."""
    return VariantCell(variant)


def _find(name: str) -> Engine:
    known = engines()
    if not isinstance(name, str) or name not in known:
        reason = why_not_native()
        if reason is not None and isinstance(name, str) and name.split(":")[0] == "native":
            raise SettingError("error.engine_native", reason=reason)
        raise SettingError("error.engine", got=repr(name), known=", ".join(known))
    return known[name]


def engine() -> str:
    """Return the name of the engine that runs: "native", or "numpy" where there is no library.

    >>> from compuerta import engine
    >>> engine() in ("native", "numpy")
    True
    """
    return active().name


def use_engine(name: str) -> None:
    """Choose the engine by name, for the whole process: "native", "numpy".

    "native:avx2" and the like name one variant of the native engine's code, for tests and measurements.

    Raises:
        SettingError: there is no such engine here.
    """
    global _active
    _active = _find(name)
