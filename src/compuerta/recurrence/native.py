"""The native engine: the contract of :class:`compuerta.recurrence.Cell` on the C library.

What the library does not do (complex numbers, a GRU that resets before the product, a few variants of the LSTM) the
NumPy engine does, and the caller does not notice: weights and tapes know whose they are.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Mapping
from ctypes import addressof
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from . import native_variant
from .binding import AdamStep, Backward, Dense, Forward, Layer, Library, PackedWeights, Parameters, Step, TapeBuffers
from .clamps import NO_CLAMPS, Clamps
from .memory import LINE, Memory, address, contiguous, empty, readable
from .numpy_training import AdamNumbers
from .threads import num_threads
from .variant import Variant

if TYPE_CHECKING:
    from .contract import Cell, Engine, Tape

Array = NDArray[Any]
Lengths = NDArray[np.intp] | None


class Back(NamedTuple):
    """Weights packed for the way back: the struct, and the memory that it points into."""

    weights: PackedWeights
    memory: Memory


class Weights:
    """Packed weights: those of the way forward at once, those of the way back when first asked for."""

    def __init__(self, library: Library, layer: Layer, parameters: dict[str, Array]) -> None:
        self._library, self.layer = library, layer
        self.dtype = parameters["w_x"].dtype
        self.lanes = library.lanes(layer.isa, layer.bits)
        self.panels = -(-layer.hidden // self.lanes)
        self._arrays = {name: contiguous(p) for name, p in parameters.items()}  # read again for the way back
        self._parameters = Parameters(**{name: address(array) for name, array in self._arrays.items()})
        units = self.panels * self.lanes
        self._width = width = parameters["w_h"].shape[0] // layer.hidden * units
        projection = self.padded(layer.output) * layer.hidden if layer.projection else 0
        sizes = (width * layer.features, width * layer.output, width, units, 3 * units * layer.peepholes, projection)
        self._memory, places = _carve(sizes, self.dtype.itemsize)
        self.packed = PackedWeights(*places)
        library.pack(layer, self._parameters, self.packed, num_threads())
        self._back: dict[bool, Back] = {}

    def back(self, tokens: bool) -> Back:
        """Return the weights with those of the way back; those of x are left out with ``tokens``."""
        back = self._back.get(tokens)
        if back is None:
            layer, width, padded = self.layer, self._width, self.padded
            projection = padded(layer.output) * padded(layer.hidden) if layer.projection else 0
            inputs = 0 if tokens else width * padded(layer.features)
            memory, places = _carve((inputs, width * padded(layer.output), projection), self.dtype.itemsize)
            weights = PackedWeights.from_buffer_copy(self.packed)
            weights.x_back, weights.h_back, weights.hr_back = places
            self._library.pack_back(self.layer, self._parameters, weights, tokens, num_threads())
            back = self._back[tokens] = Back(weights, memory)
        return back

    def pitch(self, width: int) -> int:
        """Return ``width`` rounded up to an odd number of lines of the cache."""
        itemsize = self.dtype.itemsize
        return (-(-width * itemsize // LINE) | 1) * LINE // itemsize

    def padded(self, numbers: int) -> int:
        """Return ``numbers`` rounded up to whole vectors."""
        lanes: int = self.lanes
        return -(-numbers // lanes) * lanes


def _carve(sizes: Iterable[int], itemsize: int) -> tuple[Memory, list[int]]:
    """Return one piece of memory for so many numbers each, and where each of them begins: at a line of the cache."""
    lines = [-(-size * itemsize // LINE) * LINE for size in sizes]
    memory = Memory(sum(lines))
    return memory, [memory.at + before for before in accumulate(lines, initial=0)][:-1]


@dataclass(eq=False)
class NativeTape:
    """What the library keeps of a forward pass, in its own layout: see native/compuerta.h."""

    functions: Library
    run: Forward
    layer: Layer
    buffers: TapeBuffers
    places: Mapping[str, int]  # what the library calls each quantity
    alive: list[Any]  # what ``run`` and ``buffers`` point into

    clamps: ClassVar[Clamps] = NO_CLAMPS
    stepwise: ClassVar[bool] = False

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities that :meth:`read` knows."""
        return tuple(key for key in self.places if not key.startswith("z_"))

    def read(self, key: str) -> Array:
        """Return one quantity as (N, T, H), zeros past each row's length.

        Raises:
            KeyError: this cell has no such quantity.
        """
        place = self.places[key]
        out = self.blank(self.layer.output if key == "h" else self.layer.hidden)
        if self.functions.read(self.run, place, address(out)):
            raise MemoryError
        return out

    def blank(self, width: int) -> Array:
        """Return an uninitialised array (N, T, width)."""
        return np.empty((self.run.n, self.run.t, width), _DTYPES[self.layer.bits])


_DTYPES: dict[int, np.dtype[Any]] = {32: np.dtype(np.float32), 64: np.dtype(np.float64)}
_BITS = {dtype: bits for bits, dtype in _DTYPES.items()}


class NativeCell:
    """One cell on the library; ``otherwise`` does what the library does not.

    Args:
        kind: its switches; the sizes and the width of number come with the weights.
        parameters: the names of its parameters, as ``struct parameters`` has them, in the order of the contract.
        places: what the library calls each quantity of a tape.
        tape: what reads such a tape.
    """

    def __init__(
        self,
        library: Library,
        kind: Layer,
        parameters: tuple[str, ...],
        places: Mapping[str, int],
        otherwise: Cell,
        tape: Callable[..., NativeTape] = NativeTape,
    ) -> None:
        self._library, self._kind, self._parameters, self._places = library, kind, parameters, places
        self._otherwise, self._tape_type = otherwise, tape

    def pack(self, *parameters: Array) -> Any:
        """Return the weights in panels. See :class:`compuerta.recurrence.Cell`."""
        dtype = parameters[0].dtype
        if dtype not in _BITS or len(parameters) != len(self._parameters):
            return self._otherwise.pack(*parameters)
        layer = Layer.from_buffer_copy(self._kind)
        layer.bits, layer.features, layer.output = _BITS[dtype], parameters[0].shape[1], parameters[1].shape[1]
        named = dict(zip(self._parameters, parameters, strict=True))
        layer.hidden = named["w_hr"].shape[1] if layer.projection else layer.output
        return Weights(self._library, layer, named)

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
        tokens = x.ndim == 2
        x = readable(x.astype(np.int64, copy=False) if tokens else x)
        run = Forward(layer=addressof(weights.layer), weights=addressof(weights.packed), tokens=tokens, reverse=reverse,
                      threads=num_threads(), x=address(x), y=address(y))  # fmt: skip
        run.n, run.t, *_ = x.shape
        run.x_n, run.x_t, *_ = (stride // x.itemsize for stride in x.strides)
        run.y_n, run.y_t, _ = (stride // y.itemsize for stride in y.strides)
        run.h0, run.c0, run.h_n, run.c_n = *_parts(state), *_parts(final)
        alive: list[Any] = [weights]
        if lengths is not None and not bool((lengths == run.t).all()):
            order = np.argsort(-lengths, kind="stable").astype(np.int64, copy=False)
            length = lengths[order].astype(np.int64, copy=False)
            alive += [order, length]
            run.order, run.length = address(order), address(length)
        tape = self._tape(weights, run, alive) if record else None
        if self._library.forward(run):
            raise MemoryError
        return tape

    def plain_call(self, weights: Any) -> Callable[[Array], Any] | None:
        """Return what runs a whole batch from zeros with nothing made but what it returns: the block of arguments is
        made here, once. See :class:`compuerta.recurrence.Cell`."""
        if not isinstance(weights, Weights):
            return None
        block, dtype = Forward(layer=addressof(weights.layer), weights=addressof(weights.packed)), weights.dtype
        call, at, width, hidden = self._library.call, addressof(block), weights.layer.output, weights.layer.hidden
        with_c, alive = "c" in self._places, (block, weights)

        def run(x: Array, alive: Any = alive) -> Any:
            n, t, _ = x.shape
            y, h = empty((n, t, width), dtype), np.empty((1, n, width), dtype)
            c = np.empty((1, n, hidden), dtype) if with_c else None
            if call(at, n, t, num_threads(), address(x), address(y), address(h), None if c is None else address(c)):
                raise MemoryError
            return y, h if c is None else (h, c)

        return run

    def _tape(self, weights: Weights, run: Forward, alive: list[Any]) -> NativeTape:
        """Make the tape's arrays, one piece of memory for all, and point ``run`` to them."""
        tape, layer = TapeBuffers(), weights.layer
        run.tape = addressof(tape)
        if self._library.plan(run, tape):
            raise MemoryError
        wide = weights.panels * weights.lanes
        inputs = tape.rows * (8 // weights.dtype.itemsize if run.tokens else weights.pitch(layer.features))
        gates = (tape.rows + tape.chunks) * wide * 4
        history = (run.n + tape.rows) * wide if "c" in self._places else 0
        hidden = (run.n + tape.rows) * weights.pitch(weights.padded(layer.output))
        projected = tape.rows * weights.pitch(wide) * layer.projection
        sizes = (gates, hidden, inputs, history, history, gates * layer.variant, projected)
        memory, places = _carve(sizes, weights.dtype.itemsize)
        tape.z, tape.h, tape.xs, tape.c, tape.tanh_c, tape.before, tape.out = places
        return self._tape_type(self._library, run, layer, tape, self._places, [*alive, memory])

    def backward(
        self, weights: Any, tape: Any, dy: Array, dfinal: Array, out: tuple[Array, ...], dstate: Array
    ) -> Array | None:
        """Walk the tape backward. See :class:`compuerta.recurrence.Cell`."""
        if not isinstance(tape, NativeTape):
            return self._otherwise.backward(weights, tape, dy, dfinal, out, dstate)
        packed = weights.back(bool(tape.run.tokens))  # alive until the call returns, whatever other threads pack
        run = Forward.from_buffer_copy(tape.run)
        run.weights = addressof(packed.weights)
        rows = tape.buffers.rows + tape.buffers.chunks
        projected = tape.buffers.rows * weights.pitch(weights.padded(tape.layer.output)) * tape.layer.projection
        memory, (dz, dh) = _carve((rows * weights.panels * weights.lanes * 4, projected), weights.dtype.itemsize)
        dy = readable(dy)
        dx = None if run.tokens else empty((run.n, run.t, tape.layer.features), weights.dtype)
        back = Backward(forward=addressof(run), threads=num_threads(), dy=address(dy), dz=dz, dh=dh)
        back.dy_n, back.dy_t, _ = (stride // dy.itemsize for stride in dy.strides)
        if dx is not None:
            back.dx, back.dx_n, back.dx_t = address(dx), run.t * tape.layer.features, tape.layer.features
        back.dh_n, back.dc_n, back.dh_0, back.dc_0 = *_parts(dfinal), *_parts(dstate)
        for name, gradient in zip(self._parameters, out, strict=True):
            setattr(back, f"d{name}", address(gradient))
        failed = self._library.backward(back)
        del memory
        if failed:
            raise MemoryError
        return dx

    def stepper(self, weights: list[Any], states: list[tuple[Array, ...]], x: Array) -> Callable[[], object]:
        """Return a function that takes a stack one step on. See :class:`compuerta.recurrence.Cell`."""
        if not all(isinstance(w, Weights) for w in weights):
            return self._otherwise.stepper(weights, states, x)
        steps: list[Step] = []
        alive: list[Any] = [x, weights, states, steps]
        for w, state in zip(weights, states, strict=True):
            step = Step(layer=addressof(w.layer), weights=addressof(w.packed), n=len(x), tokens=x.ndim == 1,
                        x=address(x), x_n=x.strides[0] // x.itemsize, h=address(state[0]))  # fmt: skip
            if len(state) > 1:
                step.c = address(state[1])
            scratch = Memory(self._library.step_size(step))
            step.scratch = scratch.at
            if steps:
                steps[-1].above = addressof(step)
            alive.append(scratch)
            steps.append(step)
            x = state[0]
        call = _Call(self._library.step, ctypes.byref(steps[0]))
        call.alive = alive
        return call


def _parts(state: Any) -> tuple[int, int | None]:
    """Return where the parts of a state are, each of them contiguous: h, and c or None."""
    h = address(state[0])
    if len(state) == 1:
        return h, None
    return h, h + state.strides[0] if isinstance(state, np.ndarray) else address(state[1])


class _Call(partial[None]):
    """One call of the library with one pointer made beforehand."""

    alive: Any  # what that points to


#: What the library calls the quantities of a tape.
_LSTM = {"i": 1, "f": 0, "g": 3, "o": 2, "c": 5, "h": 4}
_GRU = {"r": 0, "z": 1, "n": 2, "h": 4}


class VariantTape(NativeTape):
    """The tape of a variant, which also reads what each block's activation saw, and gates that have no block."""

    def read(self, key: str) -> Array:
        """Return one quantity as (N, T, H); with ``z_`` before a block's name what its activation saw."""
        layer = self.layer
        if self.places[key] >= 0:
            out = super().read(key)
            if key.startswith("z_") and layer.clip < math.inf:
                np.clip(out, -layer.clip, layer.clip, out=out)
            return out
        out = self.blank(layer.hidden)
        out[...] = 1 - super().read("i") if key == "f" and layer.coupled else 1
        if self.run.length is not None:
            order, length = self.alive[1:3]
            lengths = np.empty_like(length)
            lengths[order] = length
            out[np.arange(self.run.t) >= lengths[:, None]] = 0
        return out


class NativeEngine:
    """The library's cells on one instruction set."""

    def __init__(self, name: str, library: Library, isa: int, otherwise: Engine) -> None:
        self.name, self._library, self._isa, self._otherwise = name, library, isa, otherwise
        self.lstm: Cell = NativeCell(library, Layer(cell=0, isa=isa), ("w_x", "w_h", "b"), _LSTM, otherwise.lstm)
        self.gru: Cell = NativeCell(library, Layer(cell=1, isa=isa), ("w_x", "w_h", "b", "b_hn"), _GRU, otherwise.gru)
        self._variants: dict[Variant, Cell] = {}

    def lstm_variant(self, variant: Variant) -> Cell:
        """Return the LSTM with these switches, the NumPy engine's where the library lacks one of them."""
        if variant.plain:
            return self.lstm
        cell = self._variants.get(variant)
        if cell is None:
            cell = self._otherwise.lstm_variant(variant)
            if native_variant.serves(variant):
                kind, parameters, places = native_variant.describe(variant, self._isa)
                cell = NativeCell(self._library, kind, parameters, places, cell, VariantTape)
            self._variants[variant] = cell
        return cell

    def cross_entropy(self, logits: Array, targets: Array, keep: Array | None, scale: float) -> tuple[float, Array]:
        """Return the sum of the losses and the gradient. See :class:`compuerta.recurrence.Engine`."""
        if logits.dtype not in _BITS or logits.shape[1] == 0:
            return self._otherwise.cross_entropy(logits, targets, keep, scale)
        logits, ids, kept = contiguous(logits), contiguous(targets.astype(np.int64, copy=False)), _maybe(keep)
        gradient, total = empty(logits.shape, logits.dtype), ctypes.c_double()
        failed = self._library.cross_entropy(
            self._isa, _BITS[logits.dtype], *logits.shape, address(logits), address(ids),
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
        self._library.adam(self._isa, _BITS[parameters.dtype], step, num_threads())

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
        return self._isa, _BITS[array.dtype], address(array), array.size, num_threads()

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
        if function(self._isa, _BITS[x.dtype], what, num_threads()):
            raise MemoryError


def _maybe(array: Array | None) -> Array | None:
    return None if array is None else contiguous(array)


def _writable(dtype: np.dtype[Any], *arrays: Array | None) -> bool:
    """Return whether C computes with this dtype and can write into the arrays where they lie."""
    return dtype in _BITS and all(array is None or array.flags.carray for array in arrays)
