"""A stack of recurrences that can be looked into and taken one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from .. import checks
from ..errors import SettingError
from .base import Array, LayerClamps, StateT
from .clamping import parse_clamp
from .recorded_run import trace_model
from .stack import Stack
from .stream import Stream
from .trace import Trace


class Recurrent(Stack[StateT]):
    """Base of LSTM, GRU and MinLSTM: a :class:`~compuerta.layers.stack.Stack` with traces, clamps and streams."""

    def check_clamp(self, clamp: Mapping[Any, float]) -> LayerClamps:
        return parse_clamp(clamp, [self], self.name)

    def trace(
        self,
        x: ArrayLike,
        state: Any = None,
        lengths: ArrayLike | None = None,
        *,
        clamp: Mapping[Any, float] | None = None,
    ) -> tuple[Array, Trace]:
        """Run over ``x`` and return ``(y, trace)``: the outputs, the very bits of ``layer(x)``, and every gate.

        Args:
            x, state, lengths, clamp: as in :meth:`forward`. A single sequence (T, F) is traced as a batch of one.

        See :class:`~compuerta.layers.trace.Trace`.
        """
        return trace_model(self, x, state, lengths, clamp)

    def stream(self, batch_size: int = 1, *, clamp: Mapping[Any, float] | None = None) -> Stream[StateT]:
        """Return a stream that takes one step at a time and keeps the state; ``clamp`` as in :meth:`forward`.

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
        clamps = self.check_clamp(clamp)[id(self)] if clamp else []
        return Stream(self, checks.size(batch_size, self.name, "batch_size"), clamps)
