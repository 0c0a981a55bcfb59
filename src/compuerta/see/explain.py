"""One step of a cell in words: every quantity with its equation, its numbers and what these very numbers mean.

From values to text. :func:`explain_step` takes what :meth:`compuerta.textbook.LSTM.step` returns, of any cell, drawn or
trained, or a step of a GRU; :func:`explain_trace` one of a person's own model; :func:`gate_table` follows one unit
along a word. Units are counted from 1, as people do.

>>> step = drawn_step(seed=42, input_size=4, hidden_size=3)
>>> values(step["f"])
'0.71953755 0.73617388 0.90950893'
>>> print(explain_step(step, "es"))  # doctest: +ELLIPSIS
Un paso de una LSTM con 4 entradas y 3 unidades
...
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..errors import SettingError, ShapeError
from ..gates import GRU, LSTM, CellKind, Quantity
from ..texts import say
from .digits import FEW, WIDTH, bar, heights, number, percent, short, signed_bar, values, wrapped
from .steps import STEP_KEYS, cell_of, clamps_in, drawn_step, explainable, numbers, traced_step, two_parts

if TYPE_CHECKING:
    from ..layers import Trace

__all__ = ["bar", "drawn_step", "explain_step", "explain_trace", "gate_table", "heights", "memory_story", "number",
           "numbers", "percent", "plain", "signed_bar", "traced_step", "values"]  # fmt: skip

Array = NDArray[Any]
Paint = Callable[[str, str], str]


def plain(text: str, style: str) -> str:
    """Return ``text`` as it is: the paint of a page without colours."""
    return text


# ---- one step -------------------------------------------------------------------------------------------------------


def explain_step(
    step: Mapping[str, Array],
    lang: str | None = None,
    *,
    origin: str = "",
    paint: Paint = plain,
    kind: CellKind = LSTM,
    clamps: Mapping[str, Sequence[int]] | None = None,
    unit: int | None = None,
    width: int = WIDTH,
) -> str:
    """Explain one step of an LSTM or a GRU.

    Args:
        step: what ``textbook.LSTM.step`` or :func:`~compuerta.see.steps.traced_step` returned.
        lang: ``"en"`` or ``"es"``; the environment's if not given.
        origin: a sentence on where the numbers come from, printed after the title.
        paint: ``paint(text, style)`` colours a text, for a terminal.
        kind: what the cell is that it is a step of, of :func:`~compuerta.see.steps.cell_of`.
        clamps: for each quantity, the clamped units, by their index in the step.
        unit: which unit of its layer it is, counted from 0, where the step is of one alone.
        width: columns of a line.

    Returns:
        The text, in lines of ``width`` characters at most where the numbers allow it.

    Raises:
        SettingError: the cell is neither an LSTM nor a GRU.
        NonFiniteError: a value is NaN or infinite.
    """
    return _Explanation(step, lang, origin, paint, explainable(kind), clamps or {}, unit or 0, width).text()


def explain_trace(
    trace: Trace,
    t: int,
    unit: int | None = None,
    layer: int = 0,
    *,
    row: int = 0,
    direction: int = 0,
    lang: str | None = None,
    origin: str = "",
    paint: Paint = plain,
    width: int = WIDTH,
) -> str:
    """Explain one step of a trace; see :meth:`compuerta.layers.trace.Trace.explain`.

    Raises:
        SettingError: the cell's equations cannot be explained here, the step, unit or layer does not exist, what the
            layer read is not known, or the memory or the hidden state of a unit was clamped.
        NonFiniteError: a value is NaN or infinite.

    >>> import compuerta
    >>> _, trace = compuerta.GRU(2, 3, rng=0).trace(np.ones((5, 2)))
    >>> print(explain_trace(trace, 4, lang="en"))  # doctest: +ELLIPSIS
    One step of a GRU with 2 inputs and 3 units
    ...
    """
    step = traced_step(trace, t, unit, layer, row, direction)
    kind, clamps = cell_of(trace, layer), clamps_in(trace, layer, direction)
    if unit is not None:
        clamps = {key: [0] for key, units in clamps.items() if unit in units}
    for key in (kind.memory.quantity, kind.parts[0]):
        if clamps.get(key):
            name = say("explain.unit", lang, number=(clamps[key][0] if unit is None else unit) + 1)
            raise SettingError("error.explain_held", name=f"({key}, {name})")
    return explain_step(step, lang, origin=origin, paint=paint, kind=kind, clamps=clamps, unit=unit, width=width)


#: By the kind of a cell: its title, as a key; what comes in, as (key in the step, key of the words, symbol).
_ENTERS: dict[str, tuple[str, Sequence[tuple[str, str, str]]]] = {
    LSTM.key: ("title", (("x", "x", "x_t"), ("h_prev", "h_prev", "h_{t-1}"), ("C_prev", "C_prev", "C_{t-1}"))),
    GRU.key: ("title_gru", (("x", "x", "x_t"), ("h_prev", "h_prev_gru", "h_{t-1}"))),
}


class _Explanation:
    """One explanation being built: the values as vectors and the language.

    What is said about a quantity depends on its role in the equation of the memory.
    """

    def __init__(
        self, step: Mapping[str, Array], lang: str | None, origin: str, paint: Paint, kind: CellKind,
        clamps: Mapping[str, Sequence[int]], first: int, width: int,
    ) -> None:  # fmt: skip
        self.v = {name: np.asarray(value, dtype=np.float64).ravel() for name, value in step.items()}
        for name, value in self.v.items():
            checks.finite(value, "explain_step", name)
        self.memory, self.names = kind.memory, STEP_KEYS[kind.key]
        self.title, self.enters = _ENTERS[kind.key]
        self.after, self.keep, self.new = (
            self.names[key] for key in (self.memory.quantity, self.memory.keep, self.memory.candidate)
        )
        self.before = f"{self.after}_prev"
        #: Quantities whose arithmetic is shown.
        self.worked = (self.memory.quantity, kind.parts[0])
        self.lang, self.origin, self.paint = lang, origin, paint
        self.kind, self.clamps, self.first, self.width = kind, clamps, first, width
        self.units = len(self.v[self.after])
        self.few = self.units <= FEW
        self.keep_part, self.write_part = two_parts(self.v, kind)
        _, self.shares = self.memory.shares(lambda key: self.v[self.names[key]])

    def say(self, key: str, **fields: object) -> str:
        return say(f"explain.{key}", self.lang, **fields)

    def wrapped(self, text: str, indent: str) -> list[str]:
        return wrapped(text, indent, self.width)

    def text(self) -> str:
        blocks = [self.what_comes_in(), self.concatenation()]
        blocks += [self.block(quantity) for quantity in self.kind.values()]
        return "\n\n".join("\n".join(lines) for lines in blocks)

    # -- blocks

    def what_comes_in(self) -> list[str]:
        inputs, units = len(self.v["x"]), len(self.v["concat"]) - len(self.v["x"])
        title = self.say(self.title, inputs=self.counted("input", inputs), units=self.counted("unit", units))
        title += f": {self.unit([0])}" if self.units < units else ""
        lines = [*(self.paint(line, "title") for line in self.wrapped(title, "")), *self.wrapped(self.origin, "  "), ""]
        for key, words, symbol in self.enters:
            lines += self.wrapped(self.say(words), "  ")
            lines += self.wrapped(f"{symbol} = {values(self.v[key])}", "    ")
        return lines

    def concatenation(self) -> list[str]:
        title = self.wrapped(self.say("concat", size=len(self.v["concat"])), "")
        return [*(self.paint(line, "title") for line in title), *self.wrapped(values(self.v["concat"]), "    ")]

    def block(self, q: Quantity) -> list[str]:
        v = self.v[self.names[q.key]]
        name = q.name(self.lang)
        name, equation = name[0].upper() + name[1:], f"{q.symbol} = {q.equation}"
        lines = [f"{self.paint(name, 'title')}   {equation}"]
        if len(name) + 3 + len(equation) > self.width:
            lines = [self.paint(name, "title"), f"    {equation}"]
        lines += self.wrapped(f"{q.symbol} = {values(v)}", "    ")
        if self.clamps.get(q.key):
            lines += self.wrapped(self.say("held", units=self.unit(self.clamps[q.key])), "    ")
        lines += self.picture(q, v)
        lines += self.wrapped(self.say("general", note=q.note(self.lang)), "  ")
        absent = q.equation == "1" and not self.clamps.get(q.key)
        what = self.say("absent") if absent else self.meaning(q)
        lines += self.wrapped(self.say("here", what=what), "  ")
        return lines

    def picture(self, q: Quantity, v: Array) -> list[str]:
        """Bars for gates and candidate, worked arithmetic for the memory and the output."""
        if q.key in self.worked:
            rows = [f"{self.unit([u])}: {self.arithmetic(q.key, u)}" for u in self.detailed_units()]
            return [line for each in (rows if self.few else [*rows, self.say("others")])
                    for line in self.wrapped(each, "    ")]  # fmt: skip
        if self.few:
            draw, write = (bar, percent) if q.is_gate else (signed_bar, "{:+.2f}".format)
            return [f"    {self.unit([u])}  {self.paint(draw(v[u]), q.key)}  {write(v[u])}" for u in range(self.units)]
        spread = self.say("spread", low=f"{v.min():.2f}", high=f"{v.max():.2f}", mean=f"{v.mean():.2f}")
        lines = self.wrapped(spread, "    ")
        if q.is_gate:
            most = self.width - 8
            line = heights(v[:most]) + ("…" if self.units > most else "")
            closed_count, open_count = int((v < 0.1).sum()), int((v > 0.9).sum())
            lines = [f"    {self.paint(line, q.key)}", *lines]
            lines += self.wrapped(self.say("saturated", closed=closed_count, open=open_count, units=self.units), "    ")
        return lines

    def arithmetic(self, key: str, u: int) -> str:
        """Work out the memory of one unit: what it kept, what it wrote, and the sum; or its output, if that differs."""
        v = self.v
        if key != self.memory.quantity:
            C, o, h, tanh = (v[k][u] for k in ("C", "o", "h", "tanh_C"))
            return f"{short(o)}·tanh({C:.4f}) = {short(o)}·{short(tanh)} = {h:.4f}"
        share = float(self.shares[u])
        products = f"{short(v[self.keep][u])}·{short(v[self.before][u])} + {short(share)}·{short(v[self.new][u])}"
        sums = f"{self.keep_part[u]:.4f} {'-' if self.write_part[u] < 0 else '+'} {abs(self.write_part[u]):.4f}"
        return f"{products} = {sums} = {v[self.after][u]:.4f}"

    def detailed_units(self) -> list[int]:
        """Return the units whose arithmetic is written out: all, or of many the telling ones."""
        if self.few:
            return list(range(self.units))
        largest_write, largest = np.argmax(np.abs(self.write_part)), np.argmax(np.abs(self.v[self.after]))
        return sorted({int(u) for u in (largest_write, np.argmin(self.v[self.keep]), largest)})

    # -- what these values mean

    def meaning(self, q: Quantity) -> str:
        """Tell what the values of one quantity do to the memory."""
        if q.key == self.memory.keep:
            return self.keep_text()
        if q.key == self.memory.candidate:
            return self.new_text()
        if q.key == self.memory.quantity:
            return self.memory_text()
        return self.share_text(q.key) if q.is_gate else self.output_text()

    def keep_text(self) -> str:
        keep = self.v[self.keep]
        if self.units == 1:
            return self.say("f.one", kept=percent(keep[0]), lost=percent(1 - keep[0]))
        return self.most_least("f", keep) + " " + self.how_many("f", keep < 0.5)

    def share_text(self, key: str) -> str:
        share = self.v[key]
        if self.units == 1:
            return self.say(f"{key}.one", share=percent(share[0]))
        return self.most_least(key, share) + " " + self.how_many(key, share > 0.5)

    def new_text(self) -> str:
        g = self.v[self.new]
        up, down = np.flatnonzero(g > 0), np.flatnonzero(g < 0)
        if self.units == 1:
            sign = "up" if up.size else "down" if down.size else "none"
            return self.say(f"g.one_{sign}", value=f"{g[0]:+.2f}")
        if up.size == self.units:
            sentence = self.say("g.all_up")
        elif down.size == self.units:
            sentence = self.say("g.all_down")
        else:
            sentence = self.grouped("g", (("up", up), ("down", down), ("none", np.flatnonzero(g == 0))))
        strongest = int(np.argmax(np.abs(g)))
        return f"{sentence} {self.say('g.strongest', unit=self.unit([strongest]), value=f'{g[strongest]:+.2f}')}"

    def memory_text(self) -> str:
        before, after = self.v[self.before], self.v[self.after]
        turned = before * after < 0
        grew = ~turned & (np.abs(after) > np.abs(before))
        shrank = ~turned & (np.abs(after) < np.abs(before))
        masks = {"grows": grew, "shrinks": shrank, "turns": turned, "stays": ~(turned | grew | shrank)}
        most = int(np.argmax(np.abs(self.write_part)))
        write = {"written": f"{self.write_part[most]:+.2f}", "kept": f"{self.keep_part[most]:+.2f}"}
        if self.units == 1:
            what = next(name for name, mask in masks.items() if mask[0])
            sentence = self.say(f"c.one_{what}", before=f"{before[0]:+.2f}", after=f"{after[0]:+.2f}")
            return f"{sentence} {self.say('c.one_write', **write)}"
        sentence = self.grouped("c", [(name, np.flatnonzero(mask)) for name, mask in masks.items()])
        return f"{sentence} {self.say('c.most', unit=self.unit([most]), **write)}"

    def output_text(self) -> str:
        C, h = self.v["C"], self.v["h"]
        most = int(np.argmax(np.abs(h)))
        fields = {"unit": self.unit([most]), "C": f"{C[most]:+.2f}", "h": f"{h[most]:+.2f}"}
        fields |= {"squashed": f"{self.v['tanh_C'][most]:+.2f}", "share": percent(self.v["o"][most])}
        return self.say("h.one" if self.units == 1 else "h.most", **fields)

    # -- small change

    def most_least(self, key: str, v: Array) -> str:
        most, least = int(np.argmax(v)), int(np.argmin(v))
        if percent(v[most]) == percent(v[least]):
            return self.say(f"{key}.same", share=percent(v[most]))
        fields = {"most": self.unit([most]), "high": percent(v[most])}
        return self.say(f"{key}.most", **fields, least=self.unit([least]), low=percent(v[least]))

    def how_many(self, key: str, mask: Array) -> str:
        count = int(mask.sum())
        which = "none" if count == 0 else "all" if count == self.units else "some" if count > 1 else "single"
        return self.say(f"{key}.{which}", count=count, units=self.units, unit=self.unit(np.flatnonzero(mask)[:1]))

    def grouped(self, key: str, parts: Sequence[tuple[str, Array]]) -> str:
        """Return one sentence on which units do what: "the memory grows in unit 1; shrinks in units 2 and 3"."""
        clauses = [self.say(f"{key}.{name}", units=self.unit(which, "the_")) for name, which in parts if len(which)]
        return self.say(f"{key}.groups", told="; ".join(clauses))

    def counted(self, key: str, count: int) -> str:
        return self.say(f"{key}_one" if count == 1 else f"{key}_many", count=count)

    def unit(self, which: Sequence[int] | Array, the: str = "") -> str:
        """Name units: "unit 2", "units 1 and 3", "17 units"; with ``the="the_"`` as a Spanish sentence needs it."""
        names = [str(self.first + int(u) + 1) for u in which]
        if len(names) <= 1:
            return self.say(the + "unit", number="".join(names))
        if len(names) > FEW:
            return self.say("unit_many", count=len(names))
        return self.say(the + "units", numbers=", ".join(names[:-1]), last=names[-1])


# ---- one unit along a word ------------------------------------------------------------------------------------------

_MARKS = {" ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥"}
_BAR = 6


def gate_table(
    chars: Sequence[str], trace: Mapping[str, Array], lang: str | None = None, *, kind: CellKind = LSTM,
    width: int = WIDTH,
) -> str:  # fmt: skip
    """Follow one unit along a word: a line for each character, then what became of the unit's memory.

    Args:
        chars: the T characters that the network read.
        trace: the values of one unit by the keys of ``kind``, or of some of them, each of shape (T,), from a memory
            that was empty before the first character.
        lang: ``"en"`` or ``"es"``; the environment's if not given.
        kind: of its cell.
        width: columns of a line; where they are too few for bars, there are none.

    Returns:
        A table, a legend, and the story of its memory where all that it is made of is there.

    Raises:
        ShapeError: a row of the trace is not as long as ``chars``.
        NonFiniteError: a value is NaN or infinite.
    """
    order = sorted(kind, key=lambda key: key in (kind.memory.quantity, kind.parts[0]))  # the memory and the output last
    present = [kind[key] for key in order if key in trace]
    rows = {q.key: np.asarray(trace[q.key], dtype=np.float64).ravel() for q in present}
    for key, row in rows.items():
        if len(row) != len(chars):
            raise ShapeError("explain.table.unequal", name=key, expected=len(chars), got=len(row))
        checks.finite(row, "gate_table", key)
    signed = {q.key: _signed_width(rows[q.key]) for q in present if not q.is_gate}
    beside = 5 + sum(signed.values()) + 4 * (len(present) - len(signed)) + 2 * (len(present) - 1)
    bars = _BAR if beside + (1 + _BAR) * (len(present) - len(signed)) <= width else 0

    def cell(q: Quantity, t: int) -> str:
        v = rows[q.key][t]
        return f"{v:.2f} {bar(v, bars)}".rstrip() if q.is_gate else _signed(v, signed[q.key])

    columns = {q.key: signed.get(q.key, 5 + bars if bars else 4) for q in present}
    lines = ["     " + "  ".join(q.key.ljust(columns[q.key]) for q in present)]
    lines += [f"  {_visible(char)}  " + "  ".join(cell(q, t) for q in present) for t, char in enumerate(chars)]
    lines = [line.rstrip() for line in lines]
    legend = ", ".join(f"{q.key} = {q.name(lang)}" for q in present)
    lines += ["", *wrapped(legend, "  ", width)]
    m = kind.memory
    if len(chars) and {m.quantity, m.keep, m.candidate, m.write or m.keep} <= rows.keys():
        lines += ["", *wrapped(memory_story(chars, rows, lang, kind=kind), "  ", width)]
    return "\n".join(lines)


def memory_story(
    chars: Sequence[str], trace: Mapping[str, Array], lang: str | None = None, *, kind: CellKind = LSTM
) -> str:
    """Tell what became of one unit's memory along a word: the largest write, how long it lasted, the largest loss.

    What was written at step k and is still there at step t is the product of the shares kept between them: of the
    forget gates of an LSTM.
    """
    c = trace[kind.memory.quantity]
    f, writes = kind.memory.keep_and_write(trace.__getitem__)
    T = len(chars)
    k = int(np.argmax(np.abs(writes)))
    sentences = [say("explain.story.write", lang, at=_place(chars, k, lang), value=f"{writes[k]:+.2f}")]

    remaining = np.cumprod(f[k + 1 :])  # of the write at k, after each later step
    span = int(np.argmax(remaining < 0.5)) if (remaining < 0.5).any() else len(remaining)
    if span == len(remaining):
        if k + 1 < T:
            sentences.append(say("explain.story.to_the_end", lang, share=percent(float(remaining[-1]))))
    elif span == 0:
        share = percent(float(remaining[0]))
        sentences.append(say("explain.story.lost_at_once", lang, at=_place(chars, k + 1, lang), share=share))
    else:
        key = "explain.story.held_one" if span == 1 else "explain.story.held"
        sentences.append(say(key, lang, count=span, at=_place(chars, k + 1 + span, lang)))

    lost = (1 - f[1:]) * np.abs(c[:-1])
    if T > 1:
        j = int(np.argmax(lost))
        at = _place(chars, j + 1, lang)
        if f[1:].min() > 0.9:
            sentences.append(say("explain.story.never", lang))
        else:
            fields = {"at": at, "share": percent(float(1 - f[j + 1])), "lost": f"{lost[j]:.2f}"}
            sentences.append(say("explain.story.forget", lang, **fields, memory=f"{c[j]:+.2f}"))
    return " ".join(sentences)


def _place(chars: Sequence[str], t: int, lang: str | None) -> str:
    return say("explain.story.place", lang, char=_visible(chars[t]).strip(), step=t + 1)


def _visible(char: str) -> str:
    """Return one character for a table, two columns wide; blanks and control characters get a mark."""
    char = _MARKS.get(char, char[:1] or " ")
    category = unicodedata.category(char)
    if category[0] == "C":
        char = "\ufffd"
    elif category[0] == "M":
        char = "◌" + char
    return char if unicodedata.east_asian_width(char[0]) in "WF" else char + " "


def _signed_width(row: Array) -> int:
    return max([5, *(len(f"{v:+.2f}") for v in row)])


def _signed(v: float, width: int) -> str:
    text = f"{v:+.2f}"
    return (" 0.00" if text in ("+0.00", "-0.00") else text).rjust(width)
