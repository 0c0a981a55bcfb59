"""Stacks of recurrences, in one direction or both, over whole padded batches.

Dimensions, here and everywhere: N batch, T time, F features, H hidden units, L layers, D directions (1 or 2).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from .. import checks, gates, initializers, recurrence
from ..errors import ShapeError
from ..recurrence import Tape
from ..recurrence.masks import dropout_mask
from .base import Array, Blank, Layer, LayerClamps, Lengths, StateT
from .parameters import Parameters

#: A state: (parts, L·D, N, H); or, where parts differ in width, each as (L·D, N, its width).
State: TypeAlias = Array | list[Array]


@dataclass(frozen=True, eq=False, slots=True)
class StackTape:
    """The tapes of a stack, ``tapes[layer][direction]``, and whose they are; the dropout mask on each layer's input (or
    None); the table whose rows the inputs named (or None); whether the initial state was the learnt one."""

    tapes: list[list[Tape]]
    masks: list[Array | None]
    cell: recurrence.Cell
    table: Array | None
    from_learnt_state: bool


class Stack(Layer[StateT]):
    """What recurrent layers share: the stack, the directions, states, packed weights, dropout between layers.

    A layer of its own is a subclass of :class:`~compuerta.layers.Recurrent`. It names its kind of cell, the cell
    and the same cell stepwise, and the shapes of its parameters: see :class:`~compuerta.GRU`, which has nothing else.
    """

    recurrent = True
    #: What its cell is: quantities, blocks of the stacked parameters, parts of the state, the equation of the memory.
    kind: gates.CellKind
    #: Features of h where they are fewer than H, else None.
    projection_size: int | None = None
    #: Whether the initial state is a parameter.
    learn_state = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        dtype: Any = "float32",
        rng: np.random.Generator | int | Blank | None = None,
        tokens: bool = False,
    ) -> None:
        self.input_size = checks.size(input_size, self.name, "input_size")
        self.hidden_size = checks.size(hidden_size, self.name, "hidden_size")
        self.num_layers = checks.size(num_layers, self.name, "num_layers")
        self.bidirectional = bool(bidirectional)
        self.directions = 2 if bidirectional else 1
        self.dropout = checks.number(dropout, "dropout", low=0.0, high=0.999)
        self.dtype = checks.float_dtype(dtype, self.name)
        self.tokens = bool(tokens)
        self.reads_tokens = self.tokens
        self.width_in = None if self.tokens else self.input_size
        self.output_size = self.projection_size or self.hidden_size
        #: The width of each part of the state.
        self.widths = (self.output_size, *(self.hidden_size for _ in self.parts[1:]))
        self.width_out = self.directions * self.output_size
        widest = max(self.input_size, self.width_out)
        most = (self.num_layers, self.directions, len(self.blocks) * self.hidden_size, widest + self.hidden_size)
        checks.fits(self.name, most, self.dtype.itemsize)
        if self.num_layers > 1:  # untouched memory costs nothing; too much of it is a MemoryError before any work
            np.empty(most, self.dtype)
        self._names = tuple(self.parameter_shapes(self.input_size))
        shapes: dict[str, tuple[int, ...]] = {}
        for k, d in self._places():
            inputs = self.input_size if k == 0 else self.width_out
            shapes.update(zip(self.names(k, reverse=d == 1), self.parameter_shapes(inputs).values(), strict=True))
            shapes.update(zip(self.state_names(k, reverse=d == 1), ((w,) for w in self.widths), strict=False))
        self.parameters = Parameters(shapes, self.dtype, self.name)
        if not isinstance(rng, Blank):
            generator = checks.generator(rng, self.name)
            for k, d in self._places():
                self.initialize(self.names(k, reverse=d == 1), generator)
        self._packed: dict[tuple[recurrence.Cell, bool], tuple[int, list[Any]]] = {}
        self._plain: tuple[Any, int, Callable[[Array], Any] | None] = (None, 0, None)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the state, in order."""
        return self.kind.parts

    @property
    def blocks(self) -> tuple[str, ...]:
        """The blocks of the stacked parameters, in order."""
        return self.kind.blocks

    # ---- what a cell is -------------------------------------------------------------------------------------------

    @abstractmethod
    def cell(self) -> recurrence.Cell:
        """Return the active engine's functions for this cell."""

    @abstractmethod
    def stepwise_cell(self) -> recurrence.Stepwise:
        """Return the same cell one step at a time, which keeps every number and can be clamped."""

    @abstractmethod
    def parameter_shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the parameters that the cell packs, in its order: their names, without the suffix for layer and
        direction, and their shapes where F is ``inputs``."""

    def noisy_cell(self, cell: recurrence.Cell, rng: np.random.Generator) -> recurrence.Cell:
        """Return the cell as it runs in training, with what it leaves to chance drawn from ``rng``."""
        return cell

    def initialize(self, names: tuple[str, ...], rng: np.random.Generator) -> None:
        """Glorot for the input blocks, orthogonal for the recurrent ones, zero for biases."""
        hidden = self.hidden_size
        inputs = self.parameters.shapes[names[0]][1]
        x = [initializers.glorot_uniform(rng, (hidden, inputs), self.dtype) for _ in self.blocks]
        h = [initializers.orthogonal(rng, (hidden, self.output_size), self.dtype) for _ in self.blocks]
        self.parameters[names[0]] = np.concatenate(x)
        self.parameters[names[1]] = np.concatenate(h)

    def names(self, index: int = 0, *, reverse: bool = False) -> tuple[str, ...]:
        """Return the names of the parameters of one layer and direction, the initial state's left out."""
        end = _end(index, reverse)
        return tuple(name + end for name in self._names)

    def state_names(self, index: int = 0, *, reverse: bool = False) -> tuple[str, ...]:
        """Return the names of the parameters that one layer and direction starts from, none without ``learn_state``."""
        end = _end(index, reverse)
        return tuple(f"{part}0{end}" for part in self.parts) if self.learn_state else ()

    # ---- running ---------------------------------------------------------------------------------------------------

    def _places(self) -> list[tuple[int, int]]:
        return [(k, d) for k in range(self.num_layers) for d in range(self.directions)]

    def check_inputs(self, x: ArrayLike) -> tuple[Array, bool]:
        if self.tokens:
            return checks.tokens(x, self.name, self.input_size)
        batch, single = checks.sequences(x, self.name, self.input_size, self.dtype)
        if batch.size > _LARGE:  # as a view may be that repeats one number
            checks.fits(self.name, (*batch.shape[:2], len(self.blocks) * self.hidden_size), self.dtype.itemsize)
        return batch, single

    def zero_state(self, n: int) -> State:
        """Return a state of zeros."""
        at, dtype = self.num_layers * self.directions, self.parameters.dtype
        if self.output_size == self.hidden_size or len(self.parts) == 1:
            return np.zeros((len(self.parts), at, n, self.output_size), dtype)
        return [np.zeros((at, n, width), dtype) for width in self.widths]

    def initial_state(self, n: int) -> State:
        """Return the state that a run starts from if none is given."""
        state = self.zero_state(n)
        for at, (k, d) in enumerate(self._places()):
            for part, name in zip(state, self.state_names(k, reverse=d == 1), strict=False):
                part[at] = self.parameters[name]
        return state

    def check_state(self, state: Any, n: int) -> State | None:
        """Return a state given, checked; for None zeros, or None where the initial state is learnt."""
        if state is None:
            return None if self.learn_state else self.zero_state(n)
        parts = (state,) if len(self.parts) == 1 and not isinstance(state, tuple) else state
        if not isinstance(parts, (tuple, list)) or len(parts) != len(self.parts):
            got = f"{type(parts).__name__}" + (f" of {len(parts)}" if isinstance(parts, (tuple, list)) else "")
            raise ShapeError("error.state_parts", name=self.name, parts=", ".join(self.parts), got=got)
        whole = self.zero_state(n)
        for mine, value, part in zip(whole, parts, self.parts, strict=True):
            mine[...] = checks.state(value, self.name, part, mine.shape, self.dtype)
        return whole

    def packed_weights(self, cell: recurrence.Cell, table: Array | None = None) -> list[Any]:
        """Return each place's packed weights, packing again only if the parameters changed.

        With ``table`` (V, F) those of the first layer take token ids in place of its rows: W_x tableᵀ.
        """
        version, key = self.parameters.version, (cell, table is not None)
        cached = self._packed.get(key)
        if cached is None or cached[0] != version:
            packed = []
            for k, d in self._places():
                w_x, *others = (self.parameters[name] for name in self.names(k, reverse=d == 1))
                if table is not None and k == 0:
                    w_x = recurrence.active().dense(w_x, table, None)
                packed.append(cell.pack(w_x, *others))
            cached = version, packed
            self._packed = {k: v for k, v in self._packed.items() if v[0] == version} | {key: cached}
        return cached[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": {}, "_plain": (None, 0, None)}

    def public_state(self, state: State) -> StateT:
        """Return a state as the caller sees it: ``(h, c)`` for an LSTM, ``h`` for a GRU."""
        public: Any = state[0]
        if len(state) == 2:  # the common case, and the quickest
            public = state[0], state[1]
        elif len(state) > 2:
            public = tuple(state)
        return cast(StateT, public)

    def run_plainly(self, x: Any) -> Any:
        """Return ``y, state`` of the commonest call, with all that it needs made beforehand; None sends it on."""
        engine, version, call = self._plain
        if engine is not recurrence.active() or version != self.parameters.version:
            call = None
            if self.num_layers == self.directions == 1 and not self.tokens and not self.learn_state:
                call = self.cell().plain_call(self.packed_weights(self.cell())[0])
            self._plain = recurrence.active(), self.parameters.version, call
        if call is None or type(x) is not np.ndarray or x.dtype is not self.dtype or x.ndim != 3:
            return None
        return call(x) if x.shape[2] == self.input_size and x.flags.carray else None

    def run(
        self,
        x: Array,
        state: Any,
        lengths: Lengths,
        record: bool,
        rng: np.random.Generator | None,
        clamps: LayerClamps | None = None,
        table: Array | None = None,
    ) -> tuple[Array, Any, StackTape | None]:
        """Run the stack. With ``table`` (V, F), ``x`` holds ids of its rows, (N, T)."""
        mine = clamps.get(id(self)) if clamps else None
        cell = self.cell() if mine is None else self.stepwise_cell()
        weights = self.packed_weights(cell, table)
        running = cell if rng is None else self.noisy_cell(cell, rng)
        from_learnt_state = state is None
        state = self.initial_state(x.shape[0]) if from_learnt_state else state
        final, width = _like(state), self.output_size
        tapes: list[list[Tape]] = []
        masks: list[Array | None] = []
        for k in range(self.num_layers):
            mask = None
            if k and self.dropout and rng is not None:
                mask = dropout_mask(rng, x.shape, self.dropout, self.dtype)
                with np.errstate(all="ignore"):  # |x| ≤ 1, but not with every output activation
                    x = x * mask
            masks.append(mask)
            y = recurrence.empty((x.shape[0], x.shape[1], self.directions * width), self.parameters.dtype)
            layer_tapes = []
            for d in range(self.directions):
                at = k * self.directions + d
                out = y if self.directions == 1 else y[:, :, d * width : (d + 1) * width]
                first, last = _place(state, at), _place(final, at)
                one = running if mine is None else cast(Any, running).clamped(mine[at])
                tape = one.forward(weights[at], x, first, lengths, d == 1, record, out, last)
                layer_tapes.append(cast(Tape, tape))
            tapes.append(layer_tapes)
            x = y
        return x, self.public_state(final), StackTape(tapes, masks, cell, table, from_learnt_state) if record else None

    @np.errstate(all="ignore")  # what overflows is infinite, and says so itself
    def back(self, tape: StackTape, dy: Array, dstate: Any, out: Array) -> tuple[Array | None, Any]:
        """Walk the stack back. Where the inputs were rows of a table, its gradient comes in place of theirs."""
        cell, table = tape.cell, tape.table  # the engine may be another by now
        weights = self.packed_weights(cell, table)
        views = self.parameters.named(out)
        dstate = self.zero_state(len(dy)) if dstate is None else dstate
        initial, width = _like(dstate), self.output_size
        dx: Array | None = dy
        for k in reversed(range(self.num_layers)):
            total: Array | None = None
            for d in range(self.directions):
                at = k * self.directions + d
                part_dy = cast(Array, dx)[:, :, d * width : (d + 1) * width]
                name, *names = self.names(k, reverse=d == 1)
                dw_x = views[name] if table is None or k else np.empty((views[name].shape[0], len(table)), self.dtype)
                grads = (dw_x, *(views[other] for other in names))
                last, first = _place(dstate, at), _place(initial, at)
                dx_d = cell.backward(weights[at], tape.tapes[k][d], part_dy, last, grads, first)
                for name_0, part in zip(self.state_names(k, reverse=d == 1), first, strict=False):
                    views[name_0][...] = part.sum(axis=0) if tape.from_learnt_state else 0
                if table is not None and k == 0:
                    dx_d = np.empty_like(table)
                    views[name][...] = recurrence.active().dense_back(self.parameters[name], table, dw_x, dx_d, None)
                total = dx_d if total is None else total + dx_d
            mask = tape.masks[k]
            dx = total if mask is None or total is None else total * mask
        return dx, self.public_state(initial)

    def config(self) -> dict[str, Any]:
        """Return the arguments that make a layer of the same shape."""
        return {
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "bidirectional": self.bidirectional,
            "dropout": self.dropout,
            "dtype": self.dtype.name,
            "tokens": self.tokens,
        }


#: Numbers from which on it is worth asking whether memory can address what they lead to.
_LARGE = 1 << 40


def _end(index: int, reverse: bool) -> str:
    """Return how the names of the parameters of one layer and direction end."""
    return f"_l{index}_reverse" if reverse else f"_l{index}"


def _like(state: State) -> State:
    """Return an uninitialised state of the same shapes."""
    return np.empty_like(state) if isinstance(state, np.ndarray) else [np.empty_like(part) for part in state]


def _place(state: State, at: int) -> Any:
    """Return the parts (N, ...) of one layer and direction, which may be written to."""
    return state[:, at] if isinstance(state, np.ndarray) else [part[at] for part in state]
