"""The catalogue of a cell: each quantity once, with its key, symbol, equation and range.

Code, traces, explanations and documents read it from here; the words (``name`` and ``note``) stand in the language
catalogues under ``gate.<key>.name`` and ``gate.<key>.note``.

>>> f = LSTM["f"]
>>> f.symbol, f.equation, f.range
('f_t', 'σ(W_f·[h_{t-1}; x_t] + b_f)', (0.0, 1.0))
>>> f.name("es")
'compuerta de olvido'
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from .texts import say


@dataclass(frozen=True)
class Quantity:
    """One quantity of a cell: what it is called, how it is computed, where its values lie."""

    key: str
    symbol: str
    equation: str
    range: tuple[float, float]
    #: Whose note it has in the language catalogues, where it means something else than its key does elsewhere.
    noted: str = ""

    def name(self, lang: str | None = None) -> str:
        """Return its name, such as "forget gate" or "compuerta de olvido"."""
        return say(f"gate.{self.key}.name", lang)

    def note(self, lang: str | None = None) -> str:
        """Return one sentence on what its values mean."""
        return say(f"gate.{self.noted or self.key}.note", lang)

    @property
    def is_gate(self) -> bool:
        """True where the value is a share between 0 (closed) and 1 (open)."""
        return self.range == (0.0, 1.0)


_GATE = (0.0, 1.0)
_TANH = (-1.0, 1.0)
_OPEN = (float("-inf"), float("inf"))


def _table(*quantities: Quantity) -> MappingProxyType[str, Quantity]:
    return MappingProxyType({q.key: q for q in quantities})


#: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; in the order in which a step computes them.
LSTM = _table(
    Quantity("f", "f_t", "σ(W_f·[h_{t-1}; x_t] + b_f)", _GATE),
    Quantity("i", "i_t", "σ(W_i·[h_{t-1}; x_t] + b_i)", _GATE),
    Quantity("g", "C̃_t", "tanh(W_C·[h_{t-1}; x_t] + b_C)", _TANH),
    Quantity("c", "C_t", "f_t⊙C_{t-1} + i_t⊙C̃_t", _OPEN),
    Quantity("o", "o_t", "σ(W_o·[h_{t-1}; x_t] + b_o)", _GATE),
    Quantity("h", "h_t", "o_t⊙tanh(C_t)", _TANH),
)

#: Cho et al. 2014, where the reset gate acts after the product.
GRU = _table(
    Quantity("r", "r_t", "σ(W_r·[h_{t-1}; x_t] + b_r)", _GATE),
    Quantity("z", "z_t", "σ(W_z·[h_{t-1}; x_t] + b_z)", _GATE),
    Quantity("n", "n_t", "tanh(W_n·x_t + b_n + r_t⊙(U_n·h_{t-1} + b_{hn}))", _TANH),
    Quantity("h", "h_t", "(1 − z_t)⊙n_t + z_t⊙h_{t-1}", _TANH, noted="h_gru"),
)

#: The same where the reset gate acts before the product, as in the paper.
GRU_RESET_BEFORE = _table(
    GRU["r"],
    GRU["z"],
    Quantity("n", "n_t", "tanh(W_n·x_t + b_n + U_n·(r_t⊙h_{t-1}))", _TANH),
    GRU["h"],
)

#: Feng et al. 2024: nothing is seen of h but by h itself, so all steps can be computed at once.
MIN_LSTM = _table(
    Quantity("f", "f_t", "σ(W_f·x_t + b_f)", _GATE),
    Quantity("i", "i_t", "σ(W_i·x_t + b_i)", _GATE),
    Quantity("g", "C̃_t", "W_C·x_t + b_C", _OPEN),
    Quantity("h", "h_t", "(f_t⊙h_{t-1} + i_t⊙C̃_t)/(f_t + i_t)", _OPEN, noted="h_min"),
)

#: Order of the blocks in stacked parameters (PyTorch's): the only place where it is written.
LSTM_ORDER = ("i", "f", "g", "o")
GRU_ORDER = ("r", "z", "n")
MIN_LSTM_ORDER = ("i", "f", "g")
