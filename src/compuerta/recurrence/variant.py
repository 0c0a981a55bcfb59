r"""What one LSTM cell may do otherwise than the plain one: a switch for each change, and the parameters it brings.

With ′ for the step before, ⊙ elementwise, and every switch on, one step is

.. math::

    z &= \mathrm{LN}(W_x x) ⊙ γ_x + \mathrm{LN}(W_h (m ⊙ h')) ⊙ γ_h + b, \quad
    z_k \mathrel{+}= \textstyle\sum_j R_{kj}\, j' \quad (k, j ∈ \{i, f, o\})

    i &= σ(z_i + p_i ⊙ c'), \quad f = σ(z_f + p_f ⊙ c') \text{ or } 1 - i, \quad g = φ(z_g)

    ĉ &= \mathrm{clip}(f ⊙ c' + i ⊙ g), \quad o = σ(z_o + p_o ⊙ ĉ)

    ĥ &= W_{hr}\,(o ⊙ ψ(\mathrm{LN}(ĉ) ⊙ γ_c + β_c))

    c &= d_c ⊙ c' + (1 - d_c) ⊙ ĉ, \quad h = d_h ⊙ h' + (1 - d_h) ⊙ ĥ

where m and d are masks in training, and 1 and the probabilities of zoneout otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from ..activations import SIGMOID, TANH, Activation
from ..errors import SettingError
from ..gates import LSTM, LSTM_ORDER, CellKind


def _flat(value: Any) -> Any:
    """Return a switch's value without lists and objects."""
    plain = value.plain() if isinstance(value, Activation) else value
    return tuple(plain) if isinstance(plain, list) else plain


@dataclass(frozen=True)
class Variant:
    """The switches of one LSTM cell. ``Variant()`` is the plain cell.

    Attributes:
        peepholes: i and f see c′ and o sees c, each unit its own (Gers and Schmidhuber 2000).
        coupled: f = 1 − i, and no parameters for f (CIFG; ``input_forget`` in ONNX).
        input_gate, forget_gate, output_gate: False sets that gate to 1 (NIG, NFG, NOG of Greff et al. 2015).
        gate_activation, input_activation, output_activation: σ, φ and ψ (NIAF and NOAF are φ and ψ the identity).
        full_gate_recurrence: every gate sees all gates of the step before, which become parts of the state.
        layer_norm: None; "gates" normalises the two products (Ba et al. 2016); "cell" what ψ sees of c, too.
        projection: h is a smaller product of the output, W_hr (P, H).
        cell_clip: c is kept within ± this.
        clip: what σ and φ see is kept within ± this (``clip`` in ONNX).
        zoneout: probabilities, for c and for h, that a unit keeps its value (Krueger et al. 2017); with no Generator
            the expected mix is taken.
        recurrent_dropout: probability that a unit of h′ is hidden from the gates for a whole sequence (Gal and
            Ghahramani 2016).
        weight_drop: probability that a weight of W_h is 0 for a whole pass over a batch (Merity et al. 2018).

    Raises:
        SettingError: two switches exclude each other.

    >>> Variant(peepholes=True, coupled=True).shapes(inputs=3, hidden=2)
    {'w_x': (6, 3), 'w_h': (6, 2), 'b': (6,), 'p': (4,)}
    """

    peepholes: bool = False
    coupled: bool = False
    input_gate: bool = True
    forget_gate: bool = True
    output_gate: bool = True
    gate_activation: Activation = SIGMOID
    input_activation: Activation = TANH
    output_activation: Activation = TANH
    full_gate_recurrence: bool = False
    layer_norm: str | None = None
    projection: bool = False
    cell_clip: float | None = None
    clip: float | None = None
    zoneout: tuple[float, float] = (0.0, 0.0)
    recurrent_dropout: float = 0.0
    weight_drop: float = 0.0

    def __post_init__(self) -> None:
        def exclude(one: str, other: str) -> SettingError:
            return SettingError("error.variants", one=one, other=other)

        for gate in ("input_gate", "forget_gate"):
            if self.coupled and not getattr(self, gate):
                raise exclude("coupled=True", f"{gate}=False")
        for switch in ("peepholes", "full_gate_recurrence"):
            if getattr(self, switch) and not self.gates:
                raise exclude(f"{switch}=True", "input_gate=False, forget_gate=False, output_gate=False")
        if self.layer_norm not in (None, "gates", "cell"):
            raise SettingError("error.layer_norm", got=repr(self.layer_norm))

    def changed(self) -> dict[str, Any]:
        """Return the switches that differ from the plain cell's."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    @cached_property
    def plain(self) -> bool:
        """Whether this is the plain cell."""
        return not self.changed()

    @property
    def by_chance(self) -> bool:
        """Whether something of it is drawn at random in training."""
        return any(self.zoneout) or self.recurrent_dropout > 0 or self.weight_drop > 0

    @cached_property
    def gates(self) -> tuple[str, ...]:
        """The gates with parameters of their own, in the public order i, f, o."""
        here = {"i": self.input_gate, "f": self.forget_gate and not self.coupled, "o": self.output_gate}
        return tuple(k for k in LSTM_ORDER if LSTM[k].is_gate and here[k])

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """The blocks of the stacked parameters, in the public order i, f, g, o without the gates that are not there."""
        return self.kind.blocks

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The parts of the state: h, c, and with full gate recurrence the gates."""
        return self.kind.parts

    @cached_property
    def kind(self) -> CellKind:
        """What this cell is: the plain LSTM with what the switches change of it.

        >>> Variant(coupled=True, output_activation=Activation("Identity"), cell_clip=3.0).kind["h"].equation
        'o_t⊙C_t'
        """
        if self.plain:
            return LSTM
        σ, φ, ψ = self.gate_activation, self.input_activation, self.output_activation
        equations = self._equations()
        return replace(
            LSTM,
            quantities=tuple(replace(q, equation=equations[q.key]) for q in LSTM.quantities),
            parts=("h", "c", *(self.gates if self.full_gate_recurrence else ())),
            memory=replace(LSTM.memory, clip=self.cell_clip, zoneout=self.zoneout[0]),
            activations=tuple((key, {"g": φ, "h": ψ}.get(key, σ)) for key, _ in LSTM.activations),
            absent=tuple(k for k in LSTM_ORDER if LSTM[k].is_gate and k not in self.gates),
            switches=tuple(sorted((name, _flat(value)) for name, value in self.changed().items())),
        )

    def _equations(self) -> dict[str, str]:
        """Return the equation of every quantity as this cell computes it outside training.

        Ĉ_t is the memory before zoneout; LN is over all blocks together, of which [ ]_k takes one.
        """
        c_d, h_d = self.zoneout
        c_new = "Ĉ_t" if c_d else "C_t"

        def through(function: Activation, text: str) -> str:
            return f"{function.sign}({text})" if function.sign else text

        def block(k: str) -> str:
            own = LSTM[k].symbol[:-2] if k in self.gates else "C"
            product = f"W_{own}·[h_{{t-1}}; x_t]"
            if self.layer_norm is not None:
                product = f"[LN(W·x_t)⊙γ_x + LN(U·h_{{t-1}})⊙γ_h]_{own}"
            if self.peepholes and k in self.gates:
                product += f" + p_{k}⊙{c_new if k == 'o' else 'C_{t-1}'}"
            if self.full_gate_recurrence and k in self.gates:
                product += f" + R_{k}·[{'; '.join(f'{j}_{{t-1}}' for j in self.gates)}]"
            z = f"{product} + b_{own}"
            return through(self.gate_activation if k in self.gates else self.input_activation,
                           z if self.clip is None else f"clip({z}, ±{self.clip:g})")  # fmt: skip

        def mixed(share: float, before: str, after: str) -> str:
            return f"{share:g}·{before} + {1 - share:g}·{after}"

        equation = dict.fromkeys(LSTM_ORDER, "1") | {k: block(k) for k in ("g", *self.gates)}
        if self.coupled:
            equation["f"] = "1 − i_t"
        c = LSTM["c"].equation if self.cell_clip is None else f"clip({LSTM['c'].equation}, ±{self.cell_clip:g})"
        equation["c"] = f"{mixed(c_d, 'C_{t-1}', 'Ĉ_t')}, Ĉ_t = {c}" if c_d else c
        cell_term = f"LN({c_new})⊙γ_c + b_c" if self.layer_norm == "cell" else c_new
        h = through(self.output_activation, cell_term)
        h = f"o_t⊙({h})" if h == cell_term != c_new else f"o_t⊙{h}"
        h = f"W_hr·({h})" if self.projection else h
        equation["h"] = mixed(h_d, "h_{t-1}", h if self.projection else f"({h})") if h_d else h
        return equation

    def shapes(self, inputs: int, hidden: int, projected: int | None = None) -> dict[str, tuple[int, ...]]:
        """Return the shape of every parameter by name, in the order in which the cell packs them.

        Args:
            inputs, hidden, projected: F, H and P (H if None), the widths of x, c and h.
        """
        wide, tall = len(self.blocks) * hidden, len(self.gates) * hidden
        out = hidden if projected is None else projected
        shapes: dict[str, tuple[int, ...]] = {"w_x": (wide, inputs), "w_h": (wide, out), "b": (wide,)}
        if self.peepholes:
            shapes["p"] = (tall,)
        if self.full_gate_recurrence:
            shapes["w_r"] = (tall, tall)
        if self.layer_norm is not None:
            shapes |= {"gain_x": (wide,), "gain_h": (wide,)}
        if self.layer_norm == "cell":
            shapes |= {"gain_c": (hidden,), "b_c": (hidden,)}
        if self.projection:
            shapes["w_hr"] = (out, hidden)
        return shapes
