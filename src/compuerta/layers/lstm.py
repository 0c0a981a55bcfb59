"""The LSTM layer, with every variant of its cell as a switch."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks, gates, initializers, recurrence
from ..activations import Activation
from ..errors import SettingError
from ..recurrence import Variant
from .base import Array, Blank
from .recurrent import Recurrent


class LSTM(Recurrent[tuple[Array, ...]]):
    r"""Long short-term memory over batches of sequences.

    .. math::

        i = σ(z_i),\; f = σ(z_f),\; g = \tanh(z_g),\; o = σ(z_o), \qquad z = W_x x_t + W_h h_{t-1} + b

        c_t = f ⊙ c_{t-1} + i ⊙ g, \qquad h_t = o ⊙ \tanh(c_t)

    Parameters of layer k (suffix ``_reverse`` for the second direction), blocks in PyTorch's order i, f, g, o:
    ``w_x_l{k}`` (4H, F), or (4H, D·H) above the first layer; ``w_h_l{k}`` (4H, H); ``b_l{k}`` (4H,).

    The switches from ``peepholes`` on change the cell; what each does to the equations is in docs/variants.md and
    in :mod:`compuerta.recurrence.variant`. Without one the cell is the plain one, on its fast path. A gate that a
    switch takes away has no block in the parameters: those that there are stand in ``layer.blocks``.

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
            al. 2015). With ``coupled`` the bias of i starts at its negative.
        chrono: the longest span, in steps, that must be remembered; draws the biases of both gates for it (Tallec and
            Ollivier 2018) instead of ``forget_bias``.
        peepholes: i and f see c of the step before, o sees c; adds ``p_l{k}`` (3H,), in the order i, f, o.
        coupled: f = 1 − i.
        input_gate, forget_gate, output_gate: False sets that gate to 1.
        gate_activation, input_activation, output_activation: what σ and both tanh are in place of themselves: a name
            of :class:`compuerta.activations.Activation`, ``[name, alpha, beta]`` or such an object.
        full_gate_recurrence: gates see all gates of the step before; adds ``w_r_l{k}`` (3H, 3H), and i, f and o to the
            state.
        layer_norm: "gates" normalises W_x x and W_h h, each with a gain ``gain_x_l{k}``, ``gain_h_l{k}`` (4H,);
            "cell" also what the output sees of c, with ``gain_c_l{k}`` and ``b_c_l{k}`` (H,).
        projection_size: P; h is W_hr (o ⊙ tanh(c)) with ``w_hr_l{k}`` (P, H), and ``w_h_l{k}`` is (4H, P).
        cell_clip: c is kept within ± this.
        clip: the inputs of the activations of gates and candidate are kept within ± this.
        zoneout: probability that a unit of c and of h keeps its value, in training; a pair for c and h apart.
        recurrent_dropout: probability that a unit of h is hidden from the gates over a whole sequence, in training.
        weight_drop: probability that a weight of ``w_h`` is 0 in one pass over a batch, in training.
        learn_state: the initial state is a parameter, ``h0_l{k}`` (P,) and ``c0_l{k}`` (H,), used where none is given.

    Chance acts where a Generator or seed is passed to ``forward(..., rng=...)``, and the same one gives the same pass.
    Without it zoneout takes the expected mix, and the other two do nothing.

    Raises:
        ShapeError: a size is not a positive integer, or the parameters would not fit in memory's addresses.
        DTypeError, SettingError: ``dtype`` or another option is out of its range, or two switches exclude each other.

    Source: Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000; Greff et al. 2015 for the variants, and
    for the others those in :class:`compuerta.recurrence.Variant`.

    >>> import numpy as np
    >>> from compuerta import LSTM
    >>> lstm = LSTM(8, 16, rng=0)
    >>> y, (h, c) = lstm(np.zeros((32, 100, 8)))
    >>> y.shape, h.shape, c.shape
    ((32, 100, 16), (1, 32, 16), (1, 32, 16))
    >>> peep = LSTM(8, 16, coupled=True, peepholes=True, rng=0)
    >>> peep.blocks, peep.parameters["p_l0"].shape
    (('i', 'g', 'o'), (32,))
    """

    kind = gates.LSTM

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
        peepholes: bool = False,
        coupled: bool = False,
        input_gate: bool = True,
        forget_gate: bool = True,
        output_gate: bool = True,
        gate_activation: Any = "Sigmoid",
        input_activation: Any = "Tanh",
        output_activation: Any = "Tanh",
        full_gate_recurrence: bool = False,
        layer_norm: str | None = None,
        projection_size: int | None = None,
        cell_clip: float | None = None,
        clip: float | None = None,
        zoneout: float | tuple[float, float] = 0.0,
        recurrent_dropout: float = 0.0,
        weight_drop: float = 0.0,
        learn_state: bool = False,
    ) -> None:
        def bound(value: float | None, argument: str) -> float | None:
            return None if value is None else checks.number(value, argument, low=0.0, open_low=True)

        pair = tuple(zoneout) if isinstance(zoneout, (tuple, list)) and len(zoneout) == 2 else (zoneout, zoneout)
        c, h = (checks.number(p, "zoneout", low=0.0, high=1.0) for p in pair)
        self.forget_bias = checks.number(forget_bias, "forget_bias")
        self.chrono = None if chrono is None else checks.count(chrono, "chrono", low=2)
        if projection_size is not None:
            self.projection_size = checks.size(projection_size, self.name, "projection_size")
        self.learn_state = bool(learn_state)
        self.variant = Variant(
            peepholes=bool(peepholes),
            coupled=bool(coupled),
            input_gate=bool(input_gate),
            forget_gate=bool(forget_gate),
            output_gate=bool(output_gate),
            gate_activation=Activation.of(gate_activation),
            input_activation=Activation.of(input_activation),
            output_activation=Activation.of(output_activation),
            full_gate_recurrence=bool(full_gate_recurrence),
            layer_norm=layer_norm,
            projection=projection_size is not None,
            cell_clip=bound(cell_clip, "cell_clip"),
            clip=bound(clip, "clip"),
            zoneout=(c, h),
            recurrent_dropout=checks.number(recurrent_dropout, "recurrent_dropout", low=0.0, high=0.999),
            weight_drop=checks.number(weight_drop, "weight_drop", low=0.0, high=0.999),
        )
        if self.chrono is not None and not self.variant.forget_gate:
            raise SettingError("error.variants", one=f"chrono={self.chrono}", other="forget_gate=False")
        self.kind = self.variant.kind
        super().__init__(
            input_size, hidden_size, num_layers, bidirectional=bidirectional, dropout=dropout, dtype=dtype, rng=rng,
            tokens=tokens,
        )  # fmt: skip

    def cell(self) -> recurrence.Cell:
        return recurrence.lstm(self.variant)

    def stepwise_cell(self) -> recurrence.Stepwise:
        return recurrence.stepwise_cell(recurrence.LSTMEquations(self.variant))

    def noisy_cell(self, cell: recurrence.Cell, rng: np.random.Generator) -> recurrence.Cell:
        return self.stepwise_cell().noisy(rng) if self.variant.by_chance else cell

    def parameter_shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        return self.variant.shapes(inputs, self.hidden_size, self.output_size)

    def initialize(self, names: tuple[str, ...], rng: np.random.Generator) -> None:
        """Peepholes and gates' weights on gates start at 0, as the plain cell; gains at 1."""
        super().initialize(names, rng)
        hidden, own = self.hidden_size, dict(zip(self.parameter_shapes(self.input_size), names, strict=True))
        b = {block: np.zeros(hidden, self.dtype) for block in gates.LSTM_ORDER}
        b["f"] += self.forget_bias
        if self.chrono is not None:
            b["f"], b["i"] = initializers.chrono(rng, hidden, self.chrono, self.dtype)
        elif self.variant.coupled:
            b["i"] -= self.forget_bias  # f = 1 − σ(−b) = σ(b)
        self.parameters[own["b"]] = np.concatenate([b[block] for block in self.blocks])
        for name in own.keys() & {"gain_x", "gain_h", "gain_c"}:
            self.parameters[own[name]] = np.ones(self.parameters.shapes[own[name]])
        if "w_hr" in own:
            shape = (self.output_size, hidden)
            self.parameters[own["w_hr"]] = initializers.glorot_uniform(rng, shape, self.dtype)

    def switches(self) -> dict[str, Any]:
        """Return the arguments that make this another cell than the plain one, as plain JSON values.

        >>> LSTM(2, 3, coupled=True, input_activation="Identity", zoneout=0.1).switches()
        {'coupled': True, 'input_activation': 'Identity', 'zoneout': [0.1, 0.1]}
        """
        options: dict[str, Any] = {}
        for name, value in self.variant.changed().items():
            if name == "projection":
                options["projection_size"] = self.projection_size
            elif isinstance(value, Activation):
                options[name] = value.plain()
            else:
                options[name] = list(value) if isinstance(value, tuple) else value
        return options | ({"learn_state": True} if self.learn_state else {})

    def config(self) -> dict[str, Any]:
        """Return the arguments that make a layer of the same shape; of the switches only those that are on."""
        return {**super().config(), "forget_bias": self.forget_bias, "chrono": self.chrono, **self.switches()}
