"""The GRU layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .. import gates, recurrence
from ..activations import SIGMOID, TANH, Activation
from .base import Array, Blank
from .recurrent import Recurrent


class GRU(Recurrent[Array]):
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
        gate_activation, input_activation: what σ and tanh are in place of themselves: a name of
            :class:`compuerta.activations.Activation`, ``[name, alpha, beta]`` or such an object. The NumPy engine
            computes such a cell, step by step.

    Source: Cho et al. 2014; Chung et al. 2014.

    >>> import numpy as np
    >>> from compuerta import GRU
    >>> gru = GRU(8, 16, rng=0)
    >>> y, h = gru(np.zeros((32, 100, 8)))
    >>> y.shape, h.shape
    ((32, 100, 16), (1, 32, 16))
    """

    kind = gates.GRU

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
        gate_activation: Any = "Sigmoid",
        input_activation: Any = "Tanh",
    ) -> None:
        self.reset_after = bool(reset_after)
        self.gate_activation, self.input_activation = Activation.of(gate_activation), Activation.of(input_activation)
        self.kind = self._kind()
        super().__init__(
            input_size, hidden_size, num_layers, bidirectional=bidirectional, dropout=dropout, dtype=dtype, rng=rng,
            tokens=tokens,
        )  # fmt: skip

    def _kind(self) -> gates.CellKind:
        """Return what this cell is: the plain GRU with other functions in its equations."""
        kind = gates.GRU if self.reset_after else gates.GRU_RESET_BEFORE
        f, g = self.gate_activation, self.input_activation
        if (f, g) == (SIGMOID, TANH):
            return kind
        signs = {"σ(": f.sign + "(", "tanh(": g.sign + "("}

        def written(equation: str) -> str:
            return next(
                (new + equation[len(old) :] for old, new in signs.items() if equation.startswith(old)), equation
            )

        return replace(
            kind,
            quantities=tuple(replace(q, equation=written(q.equation)) for q in kind.quantities),
            activations=(("r", f), ("z", f), ("n", g)),
            switches=tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in self.switches().items()),
        )

    def cell(self) -> recurrence.Cell:
        return recurrence.active().gru if self.kind.plain else self.stepwise_cell()

    def stepwise_cell(self) -> recurrence.Stepwise:
        equations = recurrence.GRUEquations(self.reset_after, self.gate_activation, self.input_activation)
        return recurrence.stepwise_cell(equations)

    def parameter_shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        hidden = self.hidden_size
        shapes = {"w_x": (3 * hidden, inputs), "w_h": (3 * hidden, hidden), "b": (3 * hidden,)}
        return shapes | ({"b_hn": (hidden,)} if self.reset_after else {})

    def config(self) -> dict[str, Any]:
        """Return the arguments that make a layer of the same shape."""
        return {**super().config(), "reset_after": self.reset_after, **self.switches()}

    def switches(self) -> dict[str, Any]:
        """Return the arguments that make this another cell than the plain one, as plain JSON values.

        >>> GRU(2, 3, gate_activation="HardSigmoid").switches()
        {'gate_activation': 'HardSigmoid'}
        """
        functions = {"gate_activation": self.gate_activation, "input_activation": self.input_activation}
        usual = {"gate_activation": SIGMOID, "input_activation": TANH}
        return {name: f.plain() for name, f in functions.items() if f != usual[name]}
