"""The native engine: the contract of :class:`compuerta.recurrence.Cell` on the C library.

What the library does not do (complex numbers, a GRU that resets before the product) the NumPy engine does, and the
caller does not notice: weights and tapes know whose they are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from .binding import AdamStep, Dense, Library, Run
from .memory import LINE, Memory, address, contiguous, empty, readable
from .numpy_training import AdamNumbers
from .threads import num_threads

if TYPE_CHECKING:
    from . import Cell, Engine, Tape

Array = NDArray[Any]
Lengths = NDArray[np.intp] | None


def _inputs(run: Run, x: Array) -> Array:
    """Point ``run`` to ``x``, or to a copy that C can read, and return it."""
    x, itemsize = readable(x), x.itemsize
    n, t, *_ = x.strides
    run.x, run.x_n, run.x_t = address(x), n // itemsize, t // itemsize
    return x


class Back(NamedTuple):
    """Weights packed for the way back: where they stand, and the memory."""

    x: int
    h: int
    memory: Memory


class Weights:
    """Packed weights: those of the way forward at once, those of the way back when first asked for."""

    def __init__(self, library: Library, run: Run, parameters: tuple[Array, ...]) -> None:
        self._library = library
        self.dtype = parameters[0].dtype
        self.lanes = library.lanes(run.variant, run.bits)
        self.panels = -(-run.hidden // self.lanes)
        gates = parameters[1].shape[0] // run.hidden
        names = ("w_x", "w_h", "b", "b_hn")[: len(parameters)]
        self._parameters = [contiguous(p) for p in parameters]  # read again for the way back
        for name, parameter in zip(names, self._parameters, strict=True):
            setattr(run, name, address(parameter))
        width = self.panels * gates * self.lanes
        sizes = (width * run.features, width * run.hidden, width, width // gates)
        self._forward = Memory(sum(sizes) * self.dtype.itemsize)
        at = self._forward.at
        for name, size in zip(("x_panels", "h_panels", "bias_panels", "bias_hn_panels"), sizes, strict=True):
            setattr(run, name, at)
            at += size * self.dtype.itemsize
        run.threads = num_threads()
        library.pack(run)
        self.run, self._width = run, width
        self._back: dict[bool, Back] = {}

    def back(self, tokens: bool) -> Back:
        """Return the weights of the way back; those of x are left out with ``tokens``. The caller holds them."""
        packed = self._back.get(tokens)
        if packed is None:
            run = Run.from_buffer_copy(self.run)
            run.tokens = tokens
            inputs = 0 if tokens else self._width * self.padded(run.features)
            memory = Memory((inputs + self._width * self.padded(run.hidden)) * self.dtype.itemsize)
            run.x_back = memory.at
            run.h_back = run.x_back + inputs * self.dtype.itemsize
            self._library.pack_back(run)
            packed = self._back[tokens] = Back(run.x_back, run.h_back, memory)
        return packed

    def pitch(self, width: int) -> int:
        """Return ``width`` rounded up to an odd number of lines of the cache."""
        itemsize = self.dtype.itemsize
        return (-(-width * itemsize // LINE) | 1) * LINE // itemsize

    def padded(self, numbers: int) -> int:
        """Return ``numbers`` rounded up to whole vectors."""
        lanes: int = self.lanes
        return -(-numbers // lanes) * lanes


@dataclass(slots=True, eq=False)
class NativeTape:
    """What the library keeps of a forward pass, in its own layout: see native/compuerta.h."""

    functions: Library
    run: Run
    names: tuple[str, ...]
    held: list[Any]  # all that ``run`` points into

    def read(self, key: str) -> Array:
        """Return one quantity as (N, T, H), zeros past each row's length.

        Raises:
            KeyError: this cell has no such quantity.
        """
        if key not in self.names:
            raise KeyError(key)
        out: Array = np.empty(
            (self.run.n, self.run.t, self.run.hidden), np.float32 if self.run.bits == 32 else np.float64
        )
        if self.functions.read(self.run, _PLACES[self.run.cell].index(key), out.ctypes.data):
            raise MemoryError
        return out


_DTYPES = {32: np.dtype(np.float32), 64: np.dtype(np.float64)}
_BITS = {dtype: bits for bits, dtype in _DTYPES.items()}
#: What the library calls 0, 1, 2 ... in a tape, by cell.
_PLACES = (("f", "i", "o", "g", "h", "c"), ("r", "z", "n", "q", "h"))
_NAMES = (("i", "f", "g", "o", "c", "h"), ("r", "z", "n", "h"))


class NativeCell:
    """One kind of cell on the library; ``otherwise`` does what the library does not."""

    def __init__(self, library: Library, variant: int, cell: int, otherwise: Cell) -> None:
        self._library, self._variant, self._cell, self._otherwise = library, variant, cell, otherwise

    def pack(self, *parameters: Array) -> Any:
        """Return the weights in panels. See :class:`compuerta.recurrence.Cell`."""
        dtype = parameters[0].dtype
        if dtype not in _DTYPES.values() or len(parameters) != (3, 4)[self._cell]:
            return self._otherwise.pack(*parameters)
        run = Run(cell=self._cell, bits=dtype.itemsize * 8, features=parameters[0].shape[1],
                  hidden=parameters[1].shape[1], variant=self._variant)  # fmt: skip
        return Weights(self._library, run, parameters)

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
        """Run over a batch. See :class:`compuerta.recurrence.Cell`."""
        if not isinstance(weights, Weights):
            return self._otherwise.forward(weights, x, state, lengths, reverse, record, y, final)
        run = Run.from_buffer_copy(weights.run)
        if x.ndim == 2:
            run.tokens, x = 1, x.astype(np.int64, copy=False)
        held = [_inputs(run, x), state]
        run.n, run.t, run.reverse, run.record, run.threads = *x.shape[:2], reverse, record, num_threads()
        itemsize = y.itemsize
        y_n, y_t, _ = y.strides
        run.y, run.y_n, run.y_t = address(y), y_n // itemsize, y_t // itemsize
        # One address serves both parts: they stand one stride apart, each contiguous.
        run.h0, run.h_n = address(state), address(final)
        if len(state) > 1:
            run.c0, run.c_n = run.h0 + state.strides[0], run.h_n + final.strides[0]
        if lengths is not None and not bool((lengths == run.t).all()):
            order = np.argsort(-lengths, kind="stable").astype(np.int64, copy=False)
            length = lengths[order].astype(np.int64, copy=False)
            held += [order, length]
            run.order, run.length = address(order), address(length)
        tape = self._tape(weights, run, held) if record else None
        if self._library.forward(run):
            raise MemoryError
        return tape

    def _tape(self, weights: Weights, run: Run, held: list[Array]) -> NativeTape:
        """Make the tape's arrays and point ``run`` to them: one piece of memory for all."""
        if self._library.plan(run):
            raise MemoryError
        wide = weights.panels * weights.lanes
        inputs = run.rows * (8 // weights.dtype.itemsize if run.tokens else weights.pitch(run.features))
        history = (run.n + run.rows) * wide
        hidden = (run.n + run.rows) * weights.pitch(wide)
        sizes = {"z": (run.rows + run.chunks) * wide * 4, "h": hidden, "xs": inputs}
        if "c" in _NAMES[run.cell]:
            sizes |= {"c": history, "tanh_c": history}
        memory = Memory(sum(-(-size // 16) * 16 for size in sizes.values()) * weights.dtype.itemsize)
        at = memory.at
        for name, size in sizes.items():
            setattr(run, name, at)
            at += -(-size // 16) * 16 * weights.dtype.itemsize
        return NativeTape(self._library, run, _NAMES[run.cell], [*held, memory])

    def backward(
        self, weights: Any, tape: Any, dy: Array, dfinal: Array, out: tuple[Array, ...], dstate: Array
    ) -> Array | None:
        """Walk the tape backward. See :class:`compuerta.recurrence.Cell`."""
        if not isinstance(tape, NativeTape):
            return self._otherwise.backward(weights, tape, dy, dfinal, out, dstate)
        run, dtype = Run.from_buffer_copy(tape.run), weights.dtype
        packed = weights.back(bool(run.tokens))  # held until the call returns, whatever other threads pack
        run.x_back, run.h_back = packed.x, packed.h
        run.threads = num_threads()
        dy, itemsize = readable(dy), dtype.itemsize
        run.dy, run.dy_n, run.dy_t = address(dy), dy.strides[0] // itemsize, dy.strides[1] // itemsize
        dz = Memory((run.rows + run.chunks) * weights.panels * weights.lanes * 4 * itemsize)
        run.dz = dz.at
        dx = None if run.tokens else empty((run.n, run.t, run.features), dtype)
        if dx is not None:
            run.dx, run.dx_n, run.dx_t = address(dx), run.t * run.features, run.features
        run.dh_n, run.dh_0 = address(dfinal), address(dstate)
        if len(dfinal) > 1:
            run.dc_n, run.dc_0 = run.dh_n + dfinal.strides[0], run.dh_0 + dstate.strides[0]
        for name, gradient in zip(("dw_x", "dw_h", "db", "db_hn"), out, strict=False):
            setattr(run, name, address(gradient))
        if self._library.backward(run):
            raise MemoryError
        return dx

    def stepper(self, weights: list[Any], states: list[tuple[Array, ...]], x: Array) -> Callable[[], object]:
        """Return a function that takes a stack one step on. See :class:`compuerta.recurrence.Cell`."""
        if not all(isinstance(w, Weights) for w in weights):
            return self._otherwise.stepper(weights, states, x)
        runs: list[Run] = []
        held: list[Any] = [x]
        for w, state in zip(weights, states, strict=True):
            run = Run.from_buffer_copy(w.run)
            run.n, run.x, run.x_n, run.tokens = len(x), address(x), x.strides[0] // x.itemsize, x.ndim == 1
            run.h_n = address(state[0])
            if len(state) > 1:
                run.c_n = address(state[1])
            scratch = Memory(self._library.step_size(run))
            run.scratch = scratch.at
            if runs:
                runs[-1].above = ctypes.addressof(run)
            held += [*state, scratch]
            runs.append(run)
            x = state[0]
        step = _Step(self._library.step, ctypes.byref(runs[0]))
        step.held = runs, held, weights
        return step


class _Step(partial[None]):
    """One call of the library with one pointer made beforehand."""

    held: Any  # what that points to


class NativeEngine:
    """The library's cells in one variant of its code."""

    def __init__(self, name: str, library: Library, variant: int, otherwise: Engine) -> None:
        self.name, self._library, self._variant, self._otherwise = name, library, variant, otherwise
        self.lstm: Cell = NativeCell(library, variant, 0, otherwise.lstm)
        self.gru: Cell = NativeCell(library, variant, 1, otherwise.gru)

    def cross_entropy(self, logits: Array, targets: Array, keep: Array | None, scale: float) -> tuple[float, Array]:
        """Return the sum of the losses and the gradient. See :class:`compuerta.recurrence.Engine`."""
        if logits.dtype not in _BITS or logits.shape[1] == 0:
            return self._otherwise.cross_entropy(logits, targets, keep, scale)
        logits, ids, kept = contiguous(logits), contiguous(targets.astype(np.int64, copy=False)), _maybe(keep)
        gradient, total = empty(logits.shape, logits.dtype), ctypes.c_double()
        failed = self._library.cross_entropy(
            self._variant, _BITS[logits.dtype], *logits.shape, address(logits), address(ids),
            None if kept is None else address(kept), scale, address(gradient), total, num_threads(),
        )  # fmt: skip
        if failed:
            raise MemoryError
        return total.value, gradient

    def adam(self, parameters: Array, gradient: Array, m: Array, v: Array, **numbers: Unpack[AdamNumbers]) -> None:
        """Take one step in place. See :class:`compuerta.recurrence.Engine`."""
        arrays = (parameters, gradient, m, v)
        if parameters.dtype not in _BITS or not all(a.flags.carray for a in arrays):
            self._otherwise.adam(*arrays, **numbers)
            return
        step = AdamStep(parameters=address(parameters), gradient=address(gradient), m=address(m), v=address(v),
                        n=parameters.size, **numbers)  # fmt: skip
        self._library.adam(self._variant, _BITS[parameters.dtype], step, num_threads())

    def sum_of_squares(self, array: Array) -> float:
        """Return Σ a². See :class:`compuerta.recurrence.Engine`."""
        if array.dtype not in _BITS or not array.flags.carray:
            return self._otherwise.sum_of_squares(array)
        return float(self._library.sum_of_squares(*self._numbers(array)))

    def all_finite(self, array: Array) -> bool:
        """Return whether no number is NaN or infinite. See :class:`compuerta.recurrence.Engine`."""
        if array.dtype not in _BITS or not array.flags.c_contiguous:
            return self._otherwise.all_finite(array)
        return bool(self._library.all_finite(*self._numbers(array)))

    def _numbers(self, array: Array) -> tuple[int, ...]:
        return self._variant, _BITS[array.dtype], address(array), array.size, num_threads()

    def dense(self, x: Array, w: Array, b: Array | None) -> Array:
        """Return x Wᵀ + b. See :class:`compuerta.recurrence.Engine`."""
        if x.dtype not in _BITS:
            return self._otherwise.dense(x, w, b)
        y = empty((len(x), len(w)), x.dtype)
        self._call(self._library.dense, contiguous(x), contiguous(w), b=_maybe(b), y=y)
        return y

    def dense_back(self, x: Array, w: Array, dy: Array, dw: Array, db: Array | None) -> Array:
        """Return dx, and write dw and db. See :class:`compuerta.recurrence.Engine`."""
        if not _writable(x.dtype, dw, db):
            return self._otherwise.dense_back(x, w, dy, dw, db)
        dx = empty(x.shape, x.dtype)
        self._call(self._library.dense_back, contiguous(x), contiguous(w), dy=contiguous(dy), dx=dx, dw=dw, db=db)
        return dx

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
        """Return the sum of the losses and dx, and write dw and db. See :class:`compuerta.recurrence.Engine`."""
        if not _writable(x.dtype, dw, db):
            return self._otherwise.dense_cross_entropy(x, w, b, targets, keep, scale, dw, db)
        dx, total = empty(x.shape, x.dtype), ctypes.c_double()
        what = Dense(scale=scale, total=ctypes.pointer(total))
        ids = contiguous(targets.astype(np.int64, copy=False))
        self._call(
            self._library.dense_cross_entropy, contiguous(x), contiguous(w), what, b=_maybe(b), targets=ids,
            keep=_maybe(keep), dx=dx, dw=dw, db=db,
        )  # fmt: skip
        return total.value, dx

    def _call(self, function: Any, x: Array, w: Array, what: Dense | None = None, **arrays: Array | None) -> None:
        """Call a function of a dense layer, on arrays as C wants them."""
        what = Dense() if what is None else what
        what.rows, (what.outputs, what.inputs) = len(x), w.shape
        for name, array in {"x": x, "w": w, **arrays}.items():
            if array is not None:
                setattr(what, name, address(array))
        if function(self._variant, _BITS[x.dtype], what, num_threads()):
            raise MemoryError


def _maybe(array: Array | None) -> Array | None:
    return None if array is None else contiguous(array)


def _writable(dtype: np.dtype[Any], *arrays: Array | None) -> bool:
    """Return whether C computes with this dtype and can write into the arrays where they lie."""
    return dtype in _BITS and all(array is None or array.flags.carray for array in arrays)
