"""The minimal LSTM layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks, gates, initializers, recurrence
from .base import Array, Blank
from .recurrent import Recurrent


class MinLSTM(Recurrent[Array]):
    r"""The minimal LSTM: gates that see the inputs alone, so that all steps are computed at once.

    .. math::

        i = σ(W_i x + b_i), \quad f = σ(W_f x + b_f), \quad g = W_g x + b_g

        h_t = \frac{f}{f + i} ⊙ h_{t-1} + \frac{i}{f + i} ⊙ g

    One layer can keep and overwrite by what it reads, but not by what it holds; stack several for more than that. The
    state is ``h`` alone, (L·D, N, H), and may leave [−1, 1]. Parameters of layer k, blocks in the order i, f, g:
    ``w_x_l{k}`` (3H, F), ``b_l{k}`` (3H,).

    Args:
        input_size, hidden_size, num_layers, bidirectional, dropout, dtype, rng, tokens: as in :class:`LSTM`.
        forget_bias: initial bias of the forget gate; the larger, the longer a new network remembers.

    Source: Feng et al. 2024, "Were RNNs all we needed?", section 3.2.

    >>> import numpy as np
    >>> from compuerta import MinLSTM
    >>> y, h = MinLSTM(8, 16, rng=0)(np.zeros((32, 100, 8)))
    >>> y.shape, h.shape
    ((32, 100, 16), (1, 32, 16))
    """

    kind = gates.MIN_LSTM

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
    ) -> None:
        self.forget_bias = checks.number(forget_bias, "forget_bias")
        super().__init__(
            input_size, hidden_size, num_layers, bidirectional=bidirectional, dropout=dropout, dtype=dtype, rng=rng,
            tokens=tokens,
        )  # fmt: skip

    def cell(self) -> recurrence.Cell:
        return recurrence.min_lstm()

    def stepwise_cell(self) -> recurrence.Stepwise:
        return recurrence.stepwise_cell(recurrence.MinLSTMEquations())

    def parameter_shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        return {"w_x": (3 * self.hidden_size, inputs), "b": (3 * self.hidden_size,)}

    def initialize(self, names: tuple[str, ...], rng: np.random.Generator) -> None:
        w_x, b = names
        shape = (self.hidden_size, self.parameters.shapes[w_x][1])
        self.parameters[w_x] = np.concatenate([initializers.glorot_uniform(rng, shape, self.dtype) for _ in range(3)])
        bias = np.zeros((3, self.hidden_size), self.dtype)
        bias[self.blocks.index("f")] = self.forget_bias
        self.parameters[b] = bias.ravel()

    def config(self) -> dict[str, Any]:
        """Return the arguments that make a layer of the same shape."""
        return {**super().config(), "forget_bias": self.forget_bias}
