"""LSTM and GRU: stacks of recurrences, in one direction or both, over whole padded batches.

Dimensions, here and everywhere: N batch, T time, F features, H hidden units, L layers, D directions (1 or 2).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, gates, initializers, recurrence
from ..errors import SettingError, ShapeError
from ..recurrence import Tape
from ..recurrence.masks import dropout_mask
from .base import Array, Blank, Layer
from .parameters import Parameters
from .stream import Stream
from .trace import Trace


@dataclass(frozen=True, eq=False, slots=True)
class StackTape:
    """The tapes of a stack, ``tapes[layer][direction]``, and whose they are; the dropout mask on each layer's input (or
    None); the table whose rows the inputs named (or None)."""

    tapes: list[list[Tape]]
    masks: list[Array | None]
    cell: recurrence.Cell
    table: Array | None


class Recurrent(Layer):
    """What LSTM and GRU share: the stack, the directions, states, dropout between layers, streams.

    A subclass names its cell, its blocks, the parts of its state and the shapes of its parameters.
    """

    recurrent = True
    #: Parts of the state, in order.
    parts: tuple[str, ...]
    #: Blocks of the stacked parameters, in order.
    blocks: tuple[str, ...]

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
        self.width_out = self.directions * self.hidden_size
        widest = max(self.input_size, self.width_out)
        most = (self.num_layers, self.directions, len(self.blocks) * self.hidden_size, widest + self.hidden_size)
        checks.fits(self.name, most, self.dtype.itemsize)
        if self.num_layers > 1:
            np.empty(
                most, self.dtype
            )  # untouched memory costs nothing; too much of it is a MemoryError before any work
        shapes: dict[str, tuple[int, ...]] = {}
        for k, d in self._places():
            inputs = self.input_size if k == 0 else self.hidden_size * self.directions
            shapes.update(zip(self.names(k, reverse=d == 1), self._shapes(inputs), strict=True))
        self.parameters = Parameters(shapes, self.dtype, self.name)
        if not isinstance(rng, Blank):
            generator = checks.generator(rng, self.name)
            for k, d in self._places():
                self._initialize(self.names(k, reverse=d == 1), generator)
        self._packed: dict[bool, tuple[int, recurrence.Cell, list[Any]]] = {}

    # ---- what a cell is -------------------------------------------------------------------------------------------

    @abstractmethod
    def _cell(self) -> recurrence.Cell:
        """Return the active engine's functions for this cell."""

    @abstractmethod
    def names(self, index: int = 0, *, reverse: bool = False) -> tuple[str, ...]:
        """Return the names of the parameters of one layer and direction."""

    @abstractmethod
    def _shapes(self, inputs: int) -> tuple[tuple[int, ...], ...]:
        """Return their shapes, in the same order."""

    def _initialize(self, names: tuple[str, ...], rng: np.random.Generator) -> None:
        """Glorot for the input blocks, orthogonal for the recurrent ones, zero for biases."""
        hidden = self.hidden_size
        inputs = self.parameters.shapes[names[0]][1]
        x = [initializers.glorot_uniform(rng, (hidden, inputs), self.dtype) for _ in self.blocks]
        h = [initializers.orthogonal(rng, (hidden, hidden), self.dtype) for _ in self.blocks]
        self.parameters[names[0]] = np.concatenate(x)
        self.parameters[names[1]] = np.concatenate(h)

    # ---- running ---------------------------------------------------------------------------------------------------

    def _places(self) -> list[tuple[int, int]]:
        return [(k, d) for k in range(self.num_layers) for d in range(self.directions)]

    def _check(self, x: ArrayLike) -> tuple[Array, bool]:
        if self.tokens:
            return checks.tokens(x, self.name, self.input_size)
        batch, single = checks.sequences(x, self.name, self.input_size, self.dtype)
        if batch.size > _LARGE:  # as a view may be that repeats one number
            checks.fits(self.name, (*batch.shape[:2], len(self.blocks) * self.hidden_size), self.dtype.itemsize)
        return batch, single

    def _check_state(self, state: Any, n: int) -> Array:
        """Return the state as one array (parts, L·D, N, H), zeros for None."""
        shape = (self.num_layers * self.directions, n, self.hidden_size)
        if state is None:
            return np.zeros((len(self.parts), *shape), self.dtype)
        given = (state,) if len(self.parts) == 1 and not isinstance(state, tuple) else state
        if not isinstance(given, (tuple, list)) or len(given) != len(self.parts):
            got = f"{type(given).__name__}" + (f" of {len(given)}" if isinstance(given, (tuple, list)) else "")
            raise ShapeError("error.state_parts", name=self.name, parts=", ".join(self.parts), got=got)
        parts = [checks.state(v, self.name, p, shape, self.dtype) for v, p in zip(given, self.parts, strict=True)]
        whole = np.empty((len(parts), *shape), self.dtype)
        for k, part in enumerate(parts):
            whole[k] = part
        return whole

    def _weights(self, cell: recurrence.Cell, table: Array | None = None) -> list[Any]:
        """Return each place's packed weights, packing again only if parameters or engine changed.

        With ``table`` (V, F) those of the first layer take token ids in place of its rows: W_x tableᵀ.
        """
        version, folded = self.parameters.version, table is not None
        kept = self._packed.get(folded)
        if kept is None or kept[0] != version or kept[1] is not cell:
            packed = []
            for k, d in self._places():
                w_x, *others = (self.parameters[name] for name in self.names(k, reverse=d == 1))
                if table is not None and k == 0:
                    w_x = recurrence.active().dense(w_x, table, None)
                packed.append(cell.pack(w_x, *others))
            kept = self._packed[folded] = (version, cell, packed)
        return kept[2]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": {}}

    def _public(self, state: Array | list[Array]) -> Any:
        """Return a state as the caller sees it: ``(h, c)`` for an LSTM, ``h`` for a GRU."""
        return (state[0], state[1]) if len(state) > 1 else state[0]

    def _run(
        self,
        x: Array,
        state: Any,
        lengths: NDArray[np.intp] | None,
        record: bool,
        rng: np.random.Generator | None,
        table: Array | None = None,
    ) -> tuple[Array, Any, StackTape | None]:
        """Run the stack. With ``table`` (V, F), ``x`` holds ids of its rows, (N, T)."""
        cell = self._cell()
        weights = self._weights(cell, table)
        final = np.empty_like(state)
        hidden = self.hidden_size
        tapes: list[list[Tape]] = []
        masks: list[Array | None] = []
        for k in range(self.num_layers):
            mask = None
            if k and self.dropout and rng is not None:
                mask = dropout_mask(rng, x.shape, self.dropout, self.dtype)
                x = x * mask  # |x| ≤ 1 here
            masks.append(mask)
            y = recurrence.empty((x.shape[0], x.shape[1], self.directions * hidden), state.dtype)
            made = []
            for d in range(self.directions):
                at = k * self.directions + d
                out = y if self.directions == 1 else y[:, :, d * hidden : (d + 1) * hidden]
                tape = cell.forward(weights[at], x, state[:, at], lengths, d == 1, record, out, final[:, at])
                made.append(cast(Tape, tape))
            tapes.append(made)
            x = y
        return x, self._public(final), StackTape(tapes, masks, cell, table) if record else None

    def _back(self, tape: StackTape, dy: Array, dstate: Any, out: Array) -> tuple[Array | None, Any]:
        """Walk the stack back. Where the inputs were rows of a table, its gradient comes in place of theirs."""
        cell, table = tape.cell, tape.table  # the engine may be another by now
        weights = self._weights(cell, table)
        views = self.parameters.named(out)
        initial = np.empty_like(dstate)
        dx: Array | None = dy
        for k in reversed(range(self.num_layers)):
            total: Array | None = None
            for d in range(self.directions):
                at = k * self.directions + d
                part_dy = cast(Array, dx)[:, :, d * self.hidden_size : (d + 1) * self.hidden_size]
                name, *names = self.names(k, reverse=d == 1)
                dw_x = views[name] if table is None or k else np.empty((views[name].shape[0], len(table)), self.dtype)
                grads = (dw_x, *(views[other] for other in names))
                dx_d = cell.backward(weights[at], tape.tapes[k][d], part_dy, dstate[:, at], grads, initial[:, at])
                if table is not None and k == 0:
                    dx_d = np.empty_like(table)
                    views[name][...] = recurrence.active().dense_back(self.parameters[name], table, dw_x, dx_d, None)
                total = dx_d if total is None else total + dx_d
            mask = tape.masks[k]
            dx = total if mask is None or total is None else total * mask
        return dx, self._public(initial)

    def trace(self, x: ArrayLike, state: Any = None, lengths: ArrayLike | None = None) -> tuple[Array, Trace]:
        """Run over ``x`` and return ``(y, trace)``: the outputs, the very bits of ``layer(x)``, and every gate.

        Args:
            x, state, lengths: as in :meth:`forward`. A single sequence (T, F) is traced as a batch of one.

        See :class:`~compuerta.layers.trace.Trace`.
        """
        y, _, record = self.forward(x, state, lengths, record=True)
        assert record is not None
        return y, Trace(record.tape.tapes)

    def stream(self, batch_size: int = 1) -> Stream:
        """Return a stream that takes one step at a time and keeps the state.

        Any number of streams may run on one layer; each has its own state.

        Raises:
            SettingError: the layer is bidirectional, and its second direction would need the future.

        >>> import numpy as np
        >>> from compuerta import LSTM
        >>> layer = LSTM(2, 3, rng=0)
        >>> stream = layer.stream()
        >>> x = np.ones((5, 2))
        >>> steps = [stream(x_t) for x_t in x]
        >>> bool(np.allclose(steps, layer(x)[0], atol=1e-6))
        True
        """
        if self.bidirectional:
            raise SettingError("error.stream_bidirectional", name=self.name)
        return Stream(self, checks.size(batch_size, self.name, "batch_size"))

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


class LSTM(Recurrent):
    r"""Long short-term memory over batches of sequences.

    .. math::

        i = σ(z_i),\; f = σ(z_f),\; g = \tanh(z_g),\; o = σ(z_o), \qquad z = W_x x_t + W_h h_{t-1} + b

        c_t = f ⊙ c_{t-1} + i ⊙ g, \qquad h_t = o ⊙ \tanh(c_t)

    Parameters of layer k (suffix ``_reverse`` for the second direction), blocks in PyTorch's order i, f, g, o:
    ``w_x_l{k}`` (4H, F), or (4H, D·H) above the first layer; ``w_h_l{k}`` (4H, H); ``b_l{k}`` (4H,).

    Args:
        input_size: F, or the number of tokens with ``tokens``.
        hidden_size: H.
        num_layers: L, each reading the outputs of the one below.
        bidirectional: a second recurrence reads each row from its end; outputs are joined to D·H features.
        dropout: share of the values between layers that training sets to zero.
        dtype: "float32" or "float64".
        rng: a seed or a ``numpy.random.Generator`` for the initial weights: Glorot for inputs, orthogonal for the
            recurrence.
        tokens: inputs are token ids (N, T) in [0, F), and columns of ``w_x`` are gathered in place of a product with
            one-hot vectors.
        forget_bias: initial bias of the forget gate. 1 lets a new network remember (Gers et al. 2000; Jozefowicz et
            al. 2015).
        chrono: the longest span, in steps, that must be remembered; draws the biases of both gates for it (Tallec and
            Ollivier 2018) instead of ``forget_bias``.

    Raises:
        ShapeError: a size is not a positive integer, or the parameters would not fit in memory's addresses.
        DTypeError, SettingError: ``dtype`` or ``dropout`` is out of its range.

    Source: Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000.

    >>> import numpy as np
    >>> from compuerta import LSTM
    >>> lstm = LSTM(8, 16, rng=0)
    >>> y, (h, c) = lstm(np.zeros((32, 100, 8)))
    >>> y.shape, h.shape, c.shape
    ((32, 100, 16), (1, 32, 16), (1, 32, 16))
    """

    parts = ("h", "c")
    blocks = gates.LSTM_ORDER

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
        forget_bias: float = 1.0,
        chrono: int | None = None,
    ) -> None:
        self.forget_bias = checks.number(forget_bias, "forget_bias")
        self.chrono = None if chrono is None else checks.count(chrono, "chrono", low=2)
        super().__init__(
            input_size, hidden_size, num_layers, bidirectional=bidirectional, dropout=dropout, dtype=dtype, rng=rng,
            tokens=tokens,
        )  # fmt: skip

    def _cell(self) -> recurrence.Cell:
        return recurrence.active().lstm

    def names(self, index: int = 0, *, reverse: bool = False) -> tuple[str, ...]:
        """Return ``(w_x, w_h, b)``, the names of the parameters of one layer and direction."""
        end = f"_l{index}" + ("_reverse" if reverse else "")
        return "w_x" + end, "w_h" + end, "b" + end

    def _shapes(self, inputs: int) -> tuple[tuple[int, ...], ...]:
        hidden = self.hidden_size
        return (4 * hidden, inputs), (4 * hidden, hidden), (4 * hidden,)

    def _initialize(self, names: tuple[str, ...], rng: np.random.Generator) -> None:
        super()._initialize(names, rng)
        b = np.zeros((4, self.hidden_size), self.dtype)
        i, f = self.blocks.index("i"), self.blocks.index("f")
        b[f] = self.forget_bias
        if self.chrono is not None:
            b[f], b[i] = initializers.chrono(rng, self.hidden_size, self.chrono, self.dtype)
        self.parameters[names[2]] = b.ravel()

    def config(self) -> dict[str, Any]:
        """Return the arguments that make a layer of the same shape."""
        return {**super().config(), "forget_bias": self.forget_bias, "chrono": self.chrono}


class GRU(Recurrent):
    r"""Gated recurrent unit over batches of sequences, in both reset conventions.

    .. math::

        r = σ(W_r x + U_r h' + b_r), \quad z = σ(W_z x + U_z h' + b_z), \quad h = (1 − z) ⊙ n + z ⊙ h'

    with :math:`n = \tanh(W_n x + b_n + r ⊙ (U_n h' + b_{hn}))` if ``reset_after`` (PyTorch, cuDNN, Keras's default),
    else :math:`n = \tanh(W_n x + b_n + U_n (r ⊙ h'))` (the paper; PyTorch cannot express it).

    The state is ``h`` alone, (L·D, N, H). Parameters as in :class:`LSTM` with blocks r, z, n, and ``b_hn_l{k}`` (H,)
    if ``reset_after``.

    Args:
        input_size, hidden_size, num_layers, bidirectional, dropout, dtype, rng, tokens: as in :class:`LSTM`.
        reset_after: the reset gate acts after the recurrent product.

    Source: Cho et al. 2014; Chung et al. 2014.

    >>> import numpy as np
    >>> from compuerta import GRU
    >>> gru = GRU(8, 16, rng=0)
    >>> y, h = gru(np.zeros((32, 100, 8)))
    >>> y.shape, h.shape
    ((32, 100, 16), (1, 32, 16))
    """

    parts = ("h",)
    blocks = gates.GRU_ORDER

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        reset_after: bool = True,
        bidirectional: bool = False,
        dropout: float = 0.0,
        dtype: Any = "float32",
        rng: np.random.Generator | int | Blank | None = None,
        tokens: bool = False,
    ) -> None:
        self.reset_after = bool(reset_after)
        super().__init__(
            input_size, hidden_size, num_layers, bidirectional=bidirectional, dropout=dropout, dtype=dtype, rng=rng,
            tokens=tokens,
        )  # fmt: skip

    def _cell(self) -> recurrence.Cell:
        return recurrence.active().gru

    def names(self, index: int = 0, *, reverse: bool = False) -> tuple[str, ...]:
        """Return ``(w_x, w_h, b)`` and, if ``reset_after``, ``b_hn``."""
        end = f"_l{index}" + ("_reverse" if reverse else "")
        return ("w_x" + end, "w_h" + end, "b" + end, *(("b_hn" + end,) if self.reset_after else ()))

    def _shapes(self, inputs: int) -> tuple[tuple[int, ...], ...]:
        hidden = self.hidden_size
        return (
            (3 * hidden, inputs), (3 * hidden, hidden), (3 * hidden,),
            *(((hidden,),) if self.reset_after else ()),
        )  # fmt: skip

    def config(self) -> dict[str, Any]:
        """Return the arguments that make a layer of the same shape."""
        return {**super().config(), "reset_after": self.reset_after}
