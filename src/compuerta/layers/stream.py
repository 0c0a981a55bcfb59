"""One step at a time: a stream keeps the state of a stack and every buffer it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..errors import ShapeError
from ..recurrence import Clamps
from .base import StateT
from .stack import Stack

Array = NDArray[Any]


class Stream(Generic[StateT]):
    """Steps of a recurrent layer with the state kept between them. Made by ``layer.stream(batch_size)``."""

    def __init__(self, layer: Stack[StateT], batch_size: int, clamps: Sequence[Clamps] = ()) -> None:
        self._layer = layer
        self._clamps = clamps
        self._n = batch_size
        self._shape = (batch_size,) if layer.tokens else (batch_size, layer.input_size)
        shape = (layer.num_layers, batch_size, layer.hidden_size)
        checks.fits(layer.name, (len(layer.blocks), *shape), layer.dtype.itemsize)
        checks.fits(layer.name, self._shape, layer.dtype.itemsize)
        self._x = np.zeros(self._shape, np.intp if layer.tokens else layer.dtype)
        self._state = [np.ascontiguousarray(part) for part in layer.initial_state(batch_size)]
        self._rebuild()

    # A copy of a view is no longer a view, so a copied or pickled stream builds its own.

    def __getstate__(self) -> dict[str, Any]:
        return {
            "layer": self._layer,
            "n": self._n,
            "clamps": self._clamps,
            "state": [part.copy() for part in self._state],
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["layer"], state["n"], state["clamps"])  # type: ignore[misc]
        for mine, part in zip(self._state, state["state"], strict=True):
            mine[...] = part

    def _rebuild(self) -> None:
        layer = self._layer
        self._parameters, self._version = layer.parameters, layer.parameters.version
        states = [tuple(part[k] for part in self._state) for k in range(layer.num_layers)]
        if self._clamps:
            stepwise = layer.stepwise_cell()
            self._step = stepwise.stepper(layer.packed_weights(stepwise), states, self._x, self._clamps)
        else:
            cell = layer.cell()
            self._step = cell.stepper(layer.packed_weights(cell), states, self._x)
        self._h, self._row, self._h_row = states[-1][0], self._x[0], states[-1][0][0]
        # One row of numbers that need no conversion, the common case, is known by its shape and dtype.
        self._plain = (layer.dtype, self._shape[1:]) if self._n == 1 and not layer.tokens else None

    def __call__(self, x_t: ArrayLike, out: Array | None = None) -> Array:
        """Take one step.

        Args:
            x_t: (N, F), or (F,) for a stream of one row; token ids (N,), or one integer.
            out: (N, H), or (H,), to write the output into; nothing is allocated then.

        Returns:
            ``out``, or a new array of its shape.

        Raises:
            ShapeError: ``x_t`` or ``out`` does not fit.
            SettingError: ``out`` overlaps ``x_t``.
        """
        if self._parameters.version != self._version:
            self._rebuild()
        if out is None and type(x_t) is np.ndarray and (x_t.dtype, x_t.shape) == self._plain:
            self._row[...] = x_t
            self._step()
            row: Array = self._h_row.copy()
            return row
        layer = self._layer
        if layer.tokens:
            one = not isinstance(x_t, (list, tuple)) and np.ndim(x_t) == 0
            x, flat = checks.tokens(np.reshape(x_t, 1) if one else x_t, layer.name, layer.input_size)
            x = x[0] if flat else x
        else:
            x = checks.as_array(x_t, layer.name, "inputs", layer.dtype)
            one = x.ndim == 1
            if one:
                x = x[None]
        if x.shape != self._shape:
            got = x.shape if layer.tokens else np.shape(x_t)
            raise ShapeError("error.stream_inputs", name=layer.name, expected=self._shape, got=got)
        if out is not None:
            expected = (layer.output_size,) if one else (self._n, layer.output_size)
            checks.output(out, layer.name, expected, layer.dtype, x)
        self._x[...] = x
        self._step()
        y: Array = self._h_row if one else self._h
        if out is None:
            return y.copy()
        out[...] = y
        return out

    @property
    def state(self) -> StateT:
        """The state now, copied: ``(h, c)`` for an LSTM, ``h`` for a GRU, each (L, N, H). May be set."""
        return self._layer.public_state([part.copy() for part in self._state])

    @state.setter
    def state(self, value: Any) -> None:
        initial = self._layer.check_state(value, self._n)
        initial = self._layer.initial_state(self._n) if initial is None else initial
        for part, new in zip(self._state, initial, strict=True):
            part[...] = new

    def reset(self) -> None:
        """Set the state to zeros, or to the learnt initial state."""
        for part, first in zip(self._state, self._layer.initial_state(self._n), strict=True):
            part[...] = first
