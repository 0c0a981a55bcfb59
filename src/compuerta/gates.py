"""What a cell is: its quantities, each once with its key, symbol, equation and range, and how its memory goes on.

Code, traces, explanations, pages and documents read it from here and ask the :class:`CellKind`; the words (``name`` and
``note`` of a quantity) are in the language catalogues under ``gate.<key>.name`` and ``gate.<key>.note``.

>>> f = LSTM["f"]
>>> f.symbol, f.equation, f.range
('f_t', 'σ(W_f·[h_{t-1}; x_t] + b_f)', (0.0, 1.0))
>>> f.name("es")
'compuerta de olvido'
>>> LSTM.memory.quantity, LSTM.memory.keep, LSTM.memory.write, LSTM.memory.candidate
('c', 'f', 'i', 'g')
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .activations import IDENTITY, SIGMOID, TANH, Activation
from .texts import say

__all__ = [
    "GRU",
    "GRU_ORDER",
    "GRU_RESET_BEFORE",
    "KINDS",
    "LSTM",
    "LSTM_ORDER",
    "MIN_LSTM",
    "MIN_LSTM_ORDER",
    "CellKind",
    "MemoryEquation",
    "Quantity",
    "UnknownKind",
]


def __dir__() -> list[str]:
    return sorted(__all__)


@dataclass(frozen=True)
class Quantity:
    """One quantity of a cell: its name, its equation and the range of its values."""

    key: str
    symbol: str
    equation: str
    range: tuple[float, float]
    #: The key of its note in the language catalogues, where it differs from ``key``.
    note_key: str = ""

    def name(self, lang: str | None = None) -> str:
        """Return its name, such as "forget gate" or "compuerta de olvido"."""
        return say(f"gate.{self.key}.name", lang)

    def note(self, lang: str | None = None) -> str:
        """Return one sentence on what its values mean."""
        return say(f"gate.{self.note_key or self.key}.note", lang)

    @property
    def is_gate(self) -> bool:
        """True where the value is a share between 0 (closed) and 1 (open)."""
        return self.range == (0.0, 1.0)


@dataclass(frozen=True)
class MemoryEquation:
    r"""How a cell's memory m goes on: it keeps a share of what it was and writes a share of a candidate.

    .. math::  m_t = k_t ⊙ m_{t-1} + s_t ⊙ n_t

    ======= === ============= =========== ===
    cell    m   k             s           n
    ======= === ============= =========== ===
    LSTM    c   f             i           g
    GRU     h   z             1 − z       n
    MinLSTM h   f / (f + i)   i / (f + i) g
    ======= === ============= =========== ===

    Attributes:
        quantity: the key of m, which is a part of the state.
        keep: the key of the gate that is k.
        candidate: the key of n.
        write: the key of the gate that is s; None where s = 1 − k.
        normalized: whether k and s are divided by their sum; where that is 0 the memory stays as it was.
        clip: m is kept within ± this, if it is given.
        zoneout: the share d of the memory that passes unchanged: m = d m' + (1 − d)(k m' + s n).

    Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers, Schmidhuber and Cummins 2000; Cho et al. 2014;
    Feng et al. 2024, section 3.2. Zoneout: Krueger et al. 2017.
    """

    quantity: str
    keep: str
    candidate: str
    write: str | None = None
    normalized: bool = False
    clip: float | None = None
    zoneout: float = 0.0

    def shares(self, read: Callable[[str], Any]) -> tuple[Any, Any]:
        """Return what share of the memory is kept and what share of the candidate is written, elementwise.

        Args:
            read: gives the values of a quantity by its key.

        >>> GRU.memory.shares({"z": np.array([0.75])}.__getitem__)
        (array([0.75]), array([0.25]))
        """
        keep = read(self.keep)
        share = 1 - keep if self.write is None else read(self.write)
        if self.normalized:
            both = keep + share
            with np.errstate(all="ignore"):
                keep, share = np.where(both == 0, 1, keep / both), np.where(both == 0, 0, share / both)
        if self.zoneout:
            keep, share = self.zoneout + (1 - self.zoneout) * keep, (1 - self.zoneout) * share
        return keep, share

    def keep_and_write(self, read: Callable[[str], Any]) -> tuple[Any, Any]:
        """Return the share of the memory that is kept and what is written to it: s ⊙ n."""
        keep, share = self.shares(read)
        return keep, share * read(self.candidate)

    def next(self, before: Any, read: Callable[[str], Any]) -> Any:
        """Return the memory after a step, from what it was before."""
        keep, write = self.keep_and_write(read)
        if self.clip is None:
            return keep * before + write
        d = self.zoneout
        inner = (keep - d) * before + write  # all but what passes unchanged
        return d * before + (1 - d) * np.clip(inner / (1 - d), -self.clip, self.clip) if d < 1 else before


@dataclass(frozen=True)
class CellKind(Mapping[str, Quantity]):
    """What a cell is, as a mapping from the keys of its quantities, in the order in which a step computes them.

    A layer has its kind as ``layer.kind``, a trace that of each layer as ``trace.kind_of(layer)``; the file of a trace
    and the page carry :meth:`to_json`. A variant is a kind derived from the plain one with ``dataclasses.replace``.

    Attributes:
        key: what it is called in files and by the page. title: what it is called in a sentence.
        quantities: in the order in which a step computes them.
        order: the blocks of the stacked parameters, were none left out.
        parts: the parts of the state, the output first.
        memory: how its memory goes on.
        activations: by quantity, what each block and the output pass through.
        absent: gates without parameters of their own: they are 1, or follow from another.
        switches: what makes it another cell than the plain one, as (switch, value) of
            :class:`compuerta.recurrence.Variant`; a value of several numbers is a tuple.

    >>> LSTM.title, LSTM.names, LSTM.parts
    ('LSTM', ('i', 'f', 'g', 'o', 'c', 'h'), ('h', 'c'))
    >>> LSTM.activation("g").name, LSTM.plain
    ('Tanh', True)
    """

    key: str
    title: str
    quantities: tuple[Quantity, ...]
    order: tuple[str, ...]
    parts: tuple[str, ...]
    memory: MemoryEquation
    activations: tuple[tuple[str, Activation], ...]
    absent: tuple[str, ...] = ()
    switches: tuple[tuple[str, Any], ...] = ()

    def __getitem__(self, key: str) -> Quantity:
        for quantity in self.quantities:
            if quantity.key == key:
                return quantity
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return (quantity.key for quantity in self.quantities)

    def __len__(self) -> int:
        return len(self.quantities)

    @property
    def blocks(self) -> tuple[str, ...]:
        """The blocks of the stacked parameters, in order."""
        return tuple(key for key in self.order if key not in self.absent)

    @property
    def names(self) -> tuple[str, ...]:
        """The keys as a trace lists them: the blocks in the order of the parameters, then the others."""
        return (*self.order, *(key for key in self if key not in self.order))

    @property
    def gates(self) -> tuple[str, ...]:
        """The keys of the gates, in the order in which a step computes them."""
        return tuple(q.key for q in self.quantities if q.is_gate)

    @property
    def own_gates(self) -> tuple[str, ...]:
        """The keys of the gates that have parameters of their own, in the order of the parameters."""
        return tuple(key for key in self.blocks if self[key].is_gate)

    @property
    def plain(self) -> bool:
        """Whether it is the standard cell of its name."""
        return not self.switches

    def activation(self, key: str) -> Activation:
        """Return what a block, or the output, passes through. KeyError: the quantity passes through nothing."""
        return dict(self.activations)[key]

    def to_json(self) -> dict[str, Any]:
        """Return the kind as plain JSON values; an open range is None."""
        m = self.memory
        return {
            "key": self.key,
            "title": self.title,
            "quantities": {
                q.key: {"symbol": q.symbol, "equation": q.equation, "noted": q.note_key or q.key,
                        "range": list(q.range) if math.isfinite(q.range[0]) else None}
                for q in self.quantities
            },
            "blocks": list(self.blocks),
            "own_gates": list(self.own_gates),
            "parts": list(self.parts),
            "memory": {"quantity": m.quantity, "keep": m.keep, "candidate": m.candidate, "write": m.write,
                       "normalized": m.normalized, "clip": m.clip, "zoneout": m.zoneout},
            "activations": {key: [each.name, each.alpha, each.beta] for key, each in self.activations},
            "plain": self.plain,
            "switches": dict(self.switches),
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: Any) -> CellKind:
        """Return the kind that :meth:`to_json` described: one of :data:`KINDS`, with the switches that are on.

        Raises:
            UnknownKind: there is no kind of that key.
            KeyError, TypeError, ValueError, SettingError: the content is not valid.
        """
        if content["key"] not in KINDS:
            raise UnknownKind(_line(content["key"]))
        base, memory = KINDS[content["key"]], content["memory"]
        quantities, blocks = content["quantities"], content["blocks"]
        zoneout, clip, parts = memory["zoneout"], memory["clip"], tuple(content["parts"])
        if not 0 <= zoneout <= 1 or not (clip is None or 0 < clip < math.inf) or not set(parts) <= set(base):
            raise ValueError("memory")
        return replace(
            base,
            quantities=tuple(replace(q, equation=_line(quantities[q.key]["equation"])) for q in base.quantities),
            absent=tuple(key for key in base.order if key not in blocks),
            parts=parts,
            memory=replace(base.memory, zoneout=float(zoneout), clip=None if clip is None else float(clip)),
            activations=tuple((key, Activation(*content["activations"][key])) for key, _ in base.activations),
            switches=tuple(sorted((_line(name), _value(value)) for name, value in content["switches"].items())),
        )


class UnknownKind(LookupError):
    """A file names a kind of cell that is not among :data:`KINDS`."""


def _value(value: Any) -> Any:
    """Return a switch's value from a file's."""
    if isinstance(value, list):
        return tuple(_value(each) for each in value)
    return _line(value) if isinstance(value, str) else value


def _line(text: Any) -> str:
    """Return a value from a file if it is a text of one line."""
    if not isinstance(text, str) or not text.isprintable() or len(text) > 500:
        raise ValueError("text")
    return text


_GATE = (0.0, 1.0)
_TANH = (-1.0, 1.0)
_OPEN = (float("-inf"), float("inf"))

#: Order of the blocks in stacked parameters (PyTorch's): the only place where it is written.
LSTM_ORDER = ("i", "f", "g", "o")
GRU_ORDER = ("r", "z", "n")
MIN_LSTM_ORDER = ("i", "f", "g")

#: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000.
LSTM = CellKind(
    "lstm",
    "LSTM",
    (
        Quantity("f", "f_t", "σ(W_f·[h_{t-1}; x_t] + b_f)", _GATE),
        Quantity("i", "i_t", "σ(W_i·[h_{t-1}; x_t] + b_i)", _GATE),
        Quantity("g", "C̃_t", "tanh(W_C·[h_{t-1}; x_t] + b_C)", _TANH),
        Quantity("c", "C_t", "f_t⊙C_{t-1} + i_t⊙C̃_t", _OPEN),
        Quantity("o", "o_t", "σ(W_o·[h_{t-1}; x_t] + b_o)", _GATE),
        Quantity("h", "h_t", "o_t⊙tanh(C_t)", _TANH),
    ),
    order=LSTM_ORDER,
    parts=("h", "c"),
    memory=MemoryEquation("c", keep="f", write="i", candidate="g"),
    activations=(("i", SIGMOID), ("f", SIGMOID), ("g", TANH), ("o", SIGMOID), ("h", TANH)),
)

#: Cho et al. 2014, where the reset gate acts after the product.
GRU = CellKind(
    "gru",
    "GRU",
    (
        Quantity("r", "r_t", "σ(W_r·[h_{t-1}; x_t] + b_r)", _GATE),
        Quantity("z", "z_t", "σ(W_z·[h_{t-1}; x_t] + b_z)", _GATE),
        Quantity("n", "n_t", "tanh(W_n·x_t + b_n + r_t⊙(U_n·h_{t-1} + b_{hn}))", _TANH),
        Quantity("h", "h_t", "(1 − z_t)⊙n_t + z_t⊙h_{t-1}", _TANH, note_key="h_gru"),
    ),
    order=GRU_ORDER,
    parts=("h",),
    memory=MemoryEquation("h", keep="z", candidate="n"),
    activations=(("r", SIGMOID), ("z", SIGMOID), ("n", TANH)),
)

#: The same where the reset gate acts before the product, as in the paper.
GRU_RESET_BEFORE = replace(
    GRU,
    quantities=(
        GRU["r"],
        GRU["z"],
        Quantity("n", "n_t", "tanh(W_n·x_t + b_n + U_n·(r_t⊙h_{t-1}))", _TANH),
        GRU["h"],
    ),
)

#: Feng et al. 2024: nothing is seen of h but by h itself, so all steps can be computed at once.
MIN_LSTM = CellKind(
    "minlstm",
    "MinLSTM",
    (
        Quantity("f", "f_t", "σ(W_f·x_t + b_f)", _GATE),
        Quantity("i", "i_t", "σ(W_i·x_t + b_i)", _GATE),
        Quantity("g", "C̃_t", "W_C·x_t + b_C", _OPEN),
        Quantity("h", "h_t", "(f_t⊙h_{t-1} + i_t⊙C̃_t)/(f_t + i_t)", _OPEN, note_key="h_min"),
    ),
    order=MIN_LSTM_ORDER,
    parts=("h",),
    memory=MemoryEquation("h", keep="f", write="i", candidate="g", normalized=True),
    activations=(("i", SIGMOID), ("f", SIGMOID), ("g", IDENTITY)),
)

#: The kinds by their keys: those that a file may name.
KINDS: dict[str, CellKind] = {kind.key: kind for kind in (LSTM, GRU, MIN_LSTM)}
