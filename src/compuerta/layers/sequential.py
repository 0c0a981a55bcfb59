"""Layers one after another, as one model with one buffer of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import SettingError, ShapeError
from ..texts import grouped, say
from .base import Array, Layer, LayerClamps, Lengths
from .clamping import parse_clamp
from .feedforward import Embedding
from .parameters import Parameters
from .recorded_run import trace_model
from .stack import Stack
from .trace import Trace


class Sequential(Layer[tuple[Any, ...]]):
    """Layers one after another; itself a layer.

    The parameters of all layers are in one flat buffer, named ``"<place>.<name>"`` (``"1.w_h_l0"``). The state is a
    tuple with one entry for each layer that has a state, in order.

    Raises:
        SettingError: there is no layer, the dtypes differ, or a layer already belongs to a model.

    >>> from compuerta import LSTM, Dense, Embedding, Sequential
    >>> model = Sequential(Embedding(20, 8, rng=0), LSTM(8, 16, rng=1), Dense(16, 20, rng=2))
    >>> y, state = model([[3, 1, 4], [1, 5, 9]])
    >>> y.shape
    (2, 3, 20)
    >>> model
    Sequential(
        Embedding(20, 8),
        LSTM(8, 16),
        Dense(16, 20),
    )
    >>> print(model.summary("en"))
       layer             output      parameters
    0  Embedding(20, 8)  N × T × 8          160
    1  LSTM(8, 16)       N × T × 16       1,600
    2  Dense(16, 20)     N × T × 20         340
       total                              2,100  (8.2 KiB, float32)
    """

    recurrent = True

    def __init__(self, *layers: Layer) -> None:
        if not layers or any(not isinstance(layer, Layer) for layer in layers):
            raise SettingError("error.sequential", got=", ".join(type(layer).__name__ for layer in layers) or "()")
        width: int | None = None
        for k, layer in enumerate(layers):
            if k and layer.reads_tokens:
                raise ShapeError("error.layers_tokens", name=layer.name, place=k)
            if None not in (width, layer.width_in) and layer.width_in != width:
                raise ShapeError("error.layers_fit", name=layer.name, place=k, takes=layer.width_in, width=width)
            width = layer.width_out or layer.width_in or width
        self._set(layers, Parameters.join({str(k): layer.parameters for k, layer in enumerate(layers)}), width)
        for layer in layers:
            if not layer.parameters.size and hasattr(layer, "dtype"):
                layer.dtype = self.parameters.dtype  # Dropout, Last: they have no weights to say so

    def _set(self, layers: Sequence[Layer], parameters: Parameters, width: int | None) -> None:
        self.layers, self.parameters = tuple(layers), parameters
        self.width_in, self.reads_tokens, self.width_out = layers[0].width_in, layers[0].reads_tokens, width

    def below(self) -> Sequential:
        """Return the model without its last layer, on the same parameters; it must have at least two layers.

        For who computes the last one together with something else, as the trainer does with a loss.
        """
        model: Sequential = object.__new__(Sequential)
        model._set(self.layers[:-1], self.parameters.without_last(), self.layers[-1].width_in)
        return model

    def config(self) -> dict[str, Any]:
        """Return ``{"layers": [[class name, its config], ...]}``."""
        return {"layers": [[layer.name, layer.config()] for layer in self.layers]}

    def check_inputs(self, x: ArrayLike) -> tuple[Array, bool]:
        return self.layers[0].check_inputs(x)

    def check_state(self, state: Any, n: int) -> list[Any]:
        stateful = sum(layer.recurrent for layer in self.layers)
        if state is not None and (not isinstance(state, (tuple, list)) or len(state) != stateful):
            raise ShapeError("error.state_layers", name=self.name, expected=stateful)
        states = iter(state if state is not None else [None] * stateful)
        return [layer.check_state(next(states) if layer.recurrent else None, n) for layer in self.layers]

    def check_clamp(self, clamp: Mapping[Any, float]) -> LayerClamps:
        return parse_clamp(clamp, [leaf for leaf, _ in self.leaves(None) if isinstance(leaf, Stack)], self.name)

    def leaves(self, state: Any) -> Iterator[tuple[Layer, Any]]:
        for layer, initial in zip(self.layers, state if state is not None else [None] * len(self.layers), strict=True):
            yield from layer.leaves(initial)

    def trace(
        self,
        x: ArrayLike,
        state: Any = None,
        lengths: ArrayLike | None = None,
        *,
        clamp: Mapping[Any, float] | None = None,
    ) -> tuple[Array, Trace]:
        """Run over ``x`` and return ``(y, trace)``: the very bits of ``model(x)``, and every gate of every layer.

        Layers are counted through all recurrent layers from the inputs up: after a GRU of two layers an LSTM is layer
        2. See :class:`~compuerta.layers.trace.Trace`.

        >>> from compuerta import GRU, LSTM, Dense, Sequential
        >>> model = Sequential(GRU(2, 3, num_layers=2, rng=0), LSTM(3, 4, rng=1), Dense(4, 1, rng=2))
        >>> y, trace = model.trace(np.ones((5, 2)))
        >>> trace["z", 1].shape, trace["f", 2].shape
        ((1, 5, 3), (1, 5, 4))
        """
        return trace_model(self, x, state, lengths, clamp)

    def run(
        self,
        x: Array,
        state: Any,
        lengths: Lengths,
        record: bool,
        rng: np.random.Generator | None,
        clamps: LayerClamps | None = None,
    ) -> tuple[Array, tuple[Any, ...], list[Any] | None]:
        final: list[Any] = []
        tapes: list[Any] = []
        table: Array | None = None
        for k, (layer, initial) in enumerate(zip(self.layers, state, strict=True)):
            if record and self._folds(k, x):
                table = layer.parameters["w"]
                tapes.append(None)
                continue
            if table is not None:
                assert isinstance(layer, Stack)
                x, last, tape = layer.run(x, initial, lengths, record, rng, clamps, table)
                table = None
            else:
                x, last, tape = layer.run(x, initial, lengths, record, rng, clamps)
            tapes.append(tape)
            if layer.recurrent:
                final.append(last)
        return x, tuple(final), tapes if record else None

    def _folds(self, k: int, x: Array) -> bool:
        """Whether layer k is an embedding that the recurrent layer above takes in, to be trained with fewer products.

        Then W_x E is multiplied once for each token that there is, and not once for each that was read.
        """
        layer = self.layers[k]
        if not isinstance(layer, Embedding) or k + 1 == len(self.layers):
            return False
        above = self.layers[k + 1]
        return isinstance(above, Stack) and not above.tokens and x.size > 2 * layer.vocabulary_size

    def back(self, tape: Any, dy: Array, dstate: Any, out: Array) -> tuple[Array | None, tuple[Any, ...]]:
        dx: Array | None = dy
        dinitial: list[Any] = []
        stop = len(out)
        for layer, part, d in zip(reversed(self.layers), reversed(tape), reversed(dstate), strict=True):
            start = stop - layer.parameters.size
            assert dx is not None
            dx, first = layer.back(part, dx, d, out[start:stop])
            if layer.recurrent:
                dinitial.append(first)
            stop = start
        return dx, tuple(reversed(dinitial))

    def constructor_call(self, *, leave_out: tuple[str, ...] = ()) -> str:
        return f"{self.name}({', '.join(layer.constructor_call(leave_out=leave_out) for layer in self.layers)})"

    def __repr__(self) -> str:
        rows = "".join(f"    {repr(layer).replace(chr(10), chr(10) + '    ')},\n" for layer in self.layers)
        return f"{self.name}(\n{rows})"

    def summary(self, lang: str | None = None) -> str:
        """Return a table of the layers, their outputs and their parameters, in ``lang``."""
        rows = [("", say("summary.layer", lang), say("summary.output", lang), say("summary.parameters", lang), "")]
        shape = ["N", "T", ""]
        for k, layer in enumerate(self.layers):
            if layer.name == "Last":
                shape[1] = "1"
            shape[2] = str(layer.width_out or layer.width_in or shape[2])
            rows.append(
                (
                    str(k),
                    layer.constructor_call(leave_out=("dtype",)),
                    " × ".join(shape),
                    grouped(layer.parameters.size, lang),
                    "",
                )
            )
        size = f"  ({_size(self.parameters.flat.nbytes)}, {self.parameters.dtype})"
        rows.append(("", say("summary.total", lang), "", grouped(self.parameters.size, lang), size))
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        return "\n".join(
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}{e}".rstrip()
            for a, b, c, d, e in rows
        )


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**20:.1f} MiB" if nbytes >= 2**20 else f"{nbytes / 1024:.1f} KiB"
