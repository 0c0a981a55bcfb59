"""The network of one member of a forecaster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..layers import LSTM, Blank, Dense, Dropout, Last, Layer, Parameters, Sequential
from ..layers.base import LayerClamps, Lengths
from .base import Array
from .windows import CHANNELS


class ForecastNetwork(Layer[None]):
    """An LSTM over the window plus a linear skip from the window's values to the output, both zero at the start.

    It therefore begins as the naive forecast, and learns where to depart from it. (N, W, C) to (N, 1, h).
    """

    def __init__(
        self,
        window: int,
        horizon: int,
        hidden_size: int,
        dropout: float = 0.0,
        rng: np.random.Generator | int | Blank | None = None,
    ) -> None:
        self.window, self.horizon, self.hidden_size, self.dropout = window, horizon, hidden_size, dropout
        rng = rng if isinstance(rng, Blank) else checks.generator(rng, self.name)
        self.core = Sequential(
            LSTM(CHANNELS, hidden_size, rng=rng), Last(), Dropout(dropout), Dense(hidden_size, horizon, zero=True)
        )
        self.skip = Dense(2 * window, horizon, zero=True)
        self.parameters = Parameters.join({"core": self.core.parameters, "skip": self.skip.parameters})

    def config(self) -> dict[str, Any]:
        """Return the arguments that make a network of the same shape."""
        return {"window": self.window, "horizon": self.horizon, "hidden_size": self.hidden_size,
                "dropout": self.dropout}  # fmt: skip

    def check_inputs(self, x: ArrayLike) -> tuple[Array, bool]:
        return checks.sequences(x, self.name, CHANNELS, self.parameters.dtype)

    def check_clamp(self, clamp: Mapping[Any, float]) -> LayerClamps:
        return self.core.check_clamp(clamp)

    def run(
        self,
        x: Array,
        state: Any,
        lengths: Lengths,
        record: bool,
        rng: np.random.Generator | None,
        clamps: LayerClamps | None = None,
    ) -> tuple[Array, Any, Any]:
        y, _, tape = self.core.run(x, self.core.check_state(None, len(x)), lengths, record, rng, clamps)
        straight, _, skip_tape = self.skip.run(x[:, :, :2].reshape(len(x), 1, -1), None, None, record, None)
        y += straight
        return y, None, (x.shape, tape, skip_tape)

    def back(self, tape: Any, dy: Array, dstate: Any, out: Array) -> tuple[Array, Any]:
        shape, core_tape, skip_tape = tape
        cut = self.core.parameters.size
        dx, _ = self.core.back(core_tape, dy, self.core.check_state(None, shape[0]), out[:cut])
        straight, _ = self.skip.back(skip_tape, dy, None, out[cut:])
        assert dx is not None
        dx[:, :, :2] += straight.reshape(shape[0], shape[1], 2)
        return dx, None
