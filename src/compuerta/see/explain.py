"""An LSTM step in words: every quantity with its equation, its numbers and what these very numbers mean.

Pure functions from values to text. :func:`explain_step` takes what :meth:`compuerta.textbook.LSTM.step` returns, of any
cell, drawn or trained; :func:`gate_table` follows one unit along a word. Units are counted from 1, as people do.

>>> step = drawn_step(seed=42, input_size=4, hidden_size=3)
>>> values(step["f"])
'0.71953755 0.73617388 0.90950893'
>>> print(explain_step(step, "es"))  # doctest: +ELLIPSIS
Un paso de una LSTM con 4 entradas y 3 unidades
...
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import checks, textbook
from ..errors import SettingError, ShapeError
from ..gates import GRU, LSTM, Quantity
from ..texts import say

if TYPE_CHECKING:
    from ..layers import Trace

Array = NDArray[Any]
Paint = Callable[[str, str], str]

WIDTH = 80
FEW = 8  #: up to so many units are listed one by one; more are summed up
#: From the catalogue's keys to those of the textbook's step.
STEP_KEYS = {"f": "f", "i": "i", "g": "C_tilde", "c": "C", "o": "o", "h": "h"}

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"


def plain(text: str, style: str) -> str:
    """Return ``text`` as it is: the paint of a page without colours."""
    return text


# ---- the numbers ----------------------------------------------------------------------------------------------------


def drawn_step(seed: int, input_size: int, hidden_size: int) -> dict[str, Array]:
    """Return one step of a cell whose every number is drawn: x, h, C, then W_f, b_f, W_i, b_i, W_C, b_C, W_o, b_o.

    All come from ``numpy.random.RandomState(seed).rand``, as after ``np.random.seed(seed)`` in a notebook.
    """
    rand = np.random.RandomState(seed).rand
    x, h, C = rand(input_size, 1), rand(hidden_size, 1), rand(hidden_size, 1)
    cell = textbook.LSTM(input_size, hidden_size, rng=0, init="normal")
    for k in textbook.BLOCKS:
        setattr(cell, "W" + k, rand(hidden_size, hidden_size + input_size))
        setattr(cell, "b" + k, rand(hidden_size, 1))
    return cell.step(x, h, C)


def traced_step(trace: Trace, t: int, unit: int | None = None, layer: int = 0, row: int = 0) -> dict[str, Array]:
    """Return one step of a trace under the names of the textbook's, for :func:`explain_step`.

    With ``unit``, of that unit alone; what it reads stays whole.

    Raises:
        SettingError: the layer is no LSTM or its inputs are not known, or there is no such step, unit, layer or row.
    """
    for what, got, count in (("layer", layer, trace.layers), ("row", row, trace.shape[0]), ("step", t, trace.shape[1])):
        if not 0 <= got < count:
            raise SettingError("error.reading_place", what=what, got=got, count=count)
    if not set(STEP_KEYS) <= set(trace.names_of(layer)):
        raise SettingError("error.explain_kind", got=" ".join(trace.names_of(layer)))
    units = trace["c", layer].shape[2]
    if unit is not None and not 0 <= unit < units:
        raise SettingError("error.reading_place", what="unit", got=unit, count=units)
    try:
        x = trace.inputs(layer)[row, t]
    except KeyError:
        raise SettingError("error.explain_inputs") from None
    which = slice(None) if unit is None else slice(unit, unit + 1)
    before = {key: trace[key, layer][row, t - 1] if t else trace.initial(key, layer)[row] for key in ("h", "c")}
    step = {name: trace[key, layer][row, t][which] for key, name in STEP_KEYS.items()}
    x = np.atleast_1d(x).astype(step["C"].dtype)
    return {
        "x": x, "h_prev": before["h"], "C_prev": before["c"][which], "concat": np.concatenate((before["h"], x)),
        **step, "tanh_C": np.tanh(step["C"]),
    }  # fmt: skip


def numbers(step: Mapping[str, Array]) -> dict[str, list[float]]:
    """Return every number of a step by name, for JSON; ``kept`` and ``written`` are the two parts of ``C``."""
    flat = {name: np.asarray(value, dtype=np.float64).ravel().tolist() for name, value in step.items()}
    flat["kept"] = (step["f"] * step["C_prev"]).ravel().tolist()
    flat["written"] = (step["i"] * step["C_tilde"]).ravel().tolist()
    return flat


def number(v: float) -> str:
    """Write a number with NumPy's own digits: 0.9685002, not 0.96850020.

    >>> number(0.96850020), number(1.5e-9), number(1.0)
    ('0.9685002', '1.5e-09', '1.0')
    """
    if v and not 1e-4 <= abs(v) < 1e8:
        return np.format_float_scientific(v, precision=8, trim="-")
    return np.format_float_positional(v, precision=8, trim="0")


def values(v: Array) -> str:
    """Write a vector; of a long one the first three and the last."""
    flat = [number(float(n)) for n in v.ravel()]
    return " ".join(flat if len(flat) <= FEW else [*flat[:3], "…", flat[-1]])


def percent(share: float) -> str:
    """Write a share in percent without rounding it to all or nothing.

    >>> percent(0.7195), percent(0.9996), percent(0.004), percent(1.0)
    ('72 %', '99.9 %', '0.4 %', '100 %')
    """
    p = 100 * share
    if p in (0, 100) or 1 <= p <= 99:
        return f"{p:.0f} %"
    return f"{min(max(p, 0.1), 99.9):.1f} %"


def bar(share: float, width: int = 20) -> str:
    """Draw a share between 0 and 1 in eighths of a character.

    >>> bar(0.5, 4), bar(1.0, 4)
    ('██··', '████')
    """
    eighths = round(8 * width * min(max(share, 0.0), 1.0))
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width, "·")


def signed_bar(v: float, width: int = 20) -> str:
    """Draw a value between -1 and 1 from the middle to the left or to the right.

    >>> signed_bar(-0.5, 8), signed_bar(1.0, 8)
    ('··██│····', '····│████')
    """
    half = width // 2
    full, rest = divmod(round(2 * half * min(abs(v), 1.0)), 2)
    if v < 0:
        return ("▐" * rest + "█" * full).rjust(half, "·") + "│" + "·" * half
    return "·" * half + "│" + ("█" * full + "▌" * rest).ljust(half, "·")


def heights(v: Array) -> str:
    """Draw shares as heights, one character each: a whole layer in a line.

    >>> heights(np.array([0.0, 0.5, 1.0]))
    '▁▅█'
    """
    return "".join(_HEIGHTS[min(int(8 * min(max(float(x), 0.0), 1.0)), 7)] for x in v.ravel())


# ---- one step -------------------------------------------------------------------------------------------------------


def explain_step(step: Mapping[str, Array], lang: str | None = None, *, origin: str = "", paint: Paint = plain) -> str:
    """Explain one step of an LSTM.

    Args:
        step: what ``textbook.LSTM.step`` returned.
        lang: ``"en"`` or ``"es"``; the environment's if not given.
        origin: a sentence on where the numbers come from, told after the title.
        paint: ``paint(text, style)`` colours a text, for a terminal.

    Returns:
        The text, in lines of 80 characters at most where the numbers allow it.

    Raises:
        NonFiniteError: a value is NaN or infinite.
    """
    return _Explanation(step, lang, origin, paint).text()


class _Explanation:
    """One explanation in the making: the values as vectors and the language."""

    def __init__(self, step: Mapping[str, Array], lang: str | None, origin: str, paint: Paint) -> None:
        self.v = {name: np.asarray(value, dtype=np.float64).ravel() for name, value in step.items()}
        for name, value in self.v.items():
            checks.finite(value, "explain_step", name)
        self.lang = lang
        self.origin = origin
        self.paint = paint
        self.units = len(self.v["C"])
        self.few = self.units <= FEW
        self.kept = self.v["f"] * self.v["C_prev"]
        self.written = self.v["i"] * self.v["C_tilde"]

    def say(self, key: str, **fields: object) -> str:
        return say(f"explain.{key}", self.lang, **fields)

    def text(self) -> str:
        blocks = [self.what_comes_in(), self.concatenation()]
        blocks += [self.block(LSTM[key]) for key in "figcoh"]
        return "\n\n".join("\n".join(lines) for lines in blocks)

    # -- blocks

    def what_comes_in(self) -> list[str]:
        inputs = len(self.v["x"])
        title = self.say("title", inputs=self.counted("input", inputs), units=self.counted("unit", self.units))
        lines = [self.paint(title, "title"), *_wrapped(self.origin, "  "), ""]
        for key, symbol in (("x", "x_t"), ("h_prev", "h_{t-1}"), ("C_prev", "C_{t-1}")):
            lines.append(f"  {self.say(key)}")
            lines += _wrapped(f"{symbol} = {values(self.v[key])}", "    ")
        return lines

    def concatenation(self) -> list[str]:
        title = self.say("concat", size=len(self.v["concat"]))
        return [self.paint(title, "title"), *_wrapped(values(self.v["concat"]), "    ")]

    def block(self, q: Quantity) -> list[str]:
        v = self.v[STEP_KEYS[q.key]]
        name = q.name(self.lang)
        lines = [f"{self.paint(name[0].upper() + name[1:], 'title')}   {q.symbol} = {q.equation}"]
        lines += _wrapped(f"{q.symbol} = {values(v)}", "    ")
        lines += self.picture(q, v)
        lines += _wrapped(self.say("general", note=q.note(self.lang)), "  ")
        lines += _wrapped(self.say("here", what=getattr(self, f"here_{q.key}")()), "  ")
        return lines

    def picture(self, q: Quantity, v: Array) -> list[str]:
        """Bars for gates and candidate, worked arithmetic for the memory and the output."""
        if q.key in ("c", "h"):
            return self.arithmetic(q)
        if self.few:
            draw, write = (bar, percent) if q.is_gate else (signed_bar, "{:+.2f}".format)
            return [f"    {self.unit([u])}  {self.paint(draw(v[u]), q.key)}  {write(v[u])}" for u in range(self.units)]
        lines = [f"    {self.say('spread', low=f'{v.min():.2f}', high=f'{v.max():.2f}', mean=f'{v.mean():.2f}')}"]
        if q.is_gate:
            line = heights(v[: WIDTH - 8]) + ("…" if self.units > WIDTH - 8 else "")
            closed, opened = int((v < 0.1).sum()), int((v > 0.9).sum())
            lines = [f"    {self.paint(line, q.key)}", *lines]
            lines += _wrapped(self.say("saturated", closed=closed, open=opened, units=self.units), "    ")
        return lines

    def arithmetic(self, q: Quantity) -> list[str]:
        v = self.v
        lines = []
        for u in self.shown():
            f, i, g, C_prev, C, o, h = (v[k][u] for k in ("f", "i", "C_tilde", "C_prev", "C", "o", "h"))
            if q.key == "c":
                products = f"{_short(f)}·{_short(C_prev)} + {_short(i)}·{_short(g)}"
                sums = f"{self.kept[u]:.4f} {'-' if self.written[u] < 0 else '+'} {abs(self.written[u]):.4f}"
                lines.append(f"{self.unit([u])}: {products} = {sums} = {C:.4f}")
            else:
                squashed = f"{_short(o)}·{_short(v['tanh_C'][u])}"
                lines.append(f"{self.unit([u])}: {_short(o)}·tanh({C:.4f}) = {squashed} = {h:.4f}")
        if not self.few:
            lines.append(self.say("others"))
        return [f"    {line}" for line in lines]

    def shown(self) -> list[int]:
        """Return the units whose arithmetic is written out: all, or of many the telling ones."""
        if self.few:
            return list(range(self.units))
        telling = (np.argmax(np.abs(self.written)), np.argmin(self.v["f"]), np.argmax(np.abs(self.v["C"])))
        return sorted({int(u) for u in telling})

    # -- what these values mean

    def here_f(self) -> str:
        f = self.v["f"]
        if self.units == 1:
            return self.say("f.one", kept=percent(f[0]), lost=percent(1 - f[0]))
        return self.most_least("f", f) + " " + self.how_many("f", f < 0.5)

    def here_i(self) -> str:
        i = self.v["i"]
        if self.units == 1:
            return self.say("i.one", share=percent(i[0]))
        return self.most_least("i", i) + " " + self.how_many("i", i > 0.5)

    def here_o(self) -> str:
        o = self.v["o"]
        if self.units == 1:
            return self.say("o.one", share=percent(o[0]))
        return self.most_least("o", o) + " " + self.how_many("o", o > 0.5)

    def here_g(self) -> str:
        g = self.v["C_tilde"]
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

    def here_c(self) -> str:
        before, after = self.v["C_prev"], self.v["C"]
        turned = before * after < 0
        grew = ~turned & (np.abs(after) > np.abs(before))
        shrank = ~turned & (np.abs(after) < np.abs(before))
        masks = {"grows": grew, "shrinks": shrank, "turns": turned, "stays": ~(turned | grew | shrank)}
        most = int(np.argmax(np.abs(self.written)))
        write = {"written": f"{self.written[most]:+.2f}", "kept": f"{self.kept[most]:+.2f}"}
        if self.units == 1:
            what = next(name for name, mask in masks.items() if mask[0])
            told = self.say(f"c.one_{what}", before=f"{before[0]:+.2f}", after=f"{after[0]:+.2f}")
            return f"{told} {self.say('c.one_write', **write)}"
        told = self.grouped("c", [(name, np.flatnonzero(mask)) for name, mask in masks.items()])
        return f"{told} {self.say('c.most', unit=self.unit([most]), **write)}"

    def here_h(self) -> str:
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
        told = [self.say(f"{key}.{name}", units=self.unit(which, "the_")) for name, which in parts if len(which)]
        return self.say(f"{key}.groups", told="; ".join(told))

    def counted(self, key: str, count: int) -> str:
        return self.say(f"{key}_one" if count == 1 else f"{key}_many", count=count)

    def unit(self, which: Sequence[int] | Array, the: str = "") -> str:
        """Name units: "unit 2", "units 1 and 3", "17 units"; with ``the="the_"`` as a Spanish sentence needs it."""
        names = [str(int(u) + 1) for u in which]
        if len(names) <= 1:
            return self.say(the + "unit", number="".join(names))
        if len(names) > FEW:
            return self.say("unit_many", count=len(names))
        return self.say(the + "units", numbers=", ".join(names[:-1]), last=names[-1])


def _short(v: float) -> str:
    """Write a factor to four decimals, a negative one in parentheses."""
    return f"({v:.4f})" if v < 0 and f"{v:.4f}" != "-0.0000" else f"{abs(v):.4f}"


def _wrapped(text: str, indent: str) -> list[str]:
    glued = text.replace(" %", "\u00a0%")  # "72 %" stays on one line
    lines = textwrap.wrap(
        glued, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\u00a0%", " %") for line in lines]


# ---- one unit along a word ------------------------------------------------------------------------------------------

_ORDER = ("r", "z", "n", "f", "i", "g", "o", "c", "h")
_ALL: dict[str, Quantity] = {**GRU, **LSTM}
_MARKS = {" ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥"}
_BAR = 6


def gate_table(chars: Sequence[str], trace: Mapping[str, Array], lang: str | None = None) -> str:
    """Follow one unit along a word: a line for each character, then what became of the unit's memory.

    Args:
        chars: the T characters that the network read.
        trace: the values of one unit by the catalogue's keys (``f i g o c h`` of an LSTM, ``r z n h`` of a GRU), each
            of shape (T,), from a memory that was empty before the first character.
        lang: ``"en"`` or ``"es"``; the environment's if not given.

    Returns:
        A table of at most 80 columns, a legend, and for an LSTM the story of its memory.

    Raises:
        ShapeError: a row of the trace is not as long as ``chars``.
        NonFiniteError: a value is NaN or infinite.
    """
    present = [_ALL[key] for key in _ORDER if key in trace]
    rows = {q.key: np.asarray(trace[q.key], dtype=np.float64).ravel() for q in present}
    for key, row in rows.items():
        if len(row) != len(chars):
            raise ShapeError("explain.table.unequal", name=key, expected=len(chars), got=len(row))
        checks.finite(row, "gate_table", key)
    width = {q.key: 5 + _BAR if q.is_gate else _signed_width(rows[q.key]) for q in present}
    lines = ["     " + "  ".join(q.key.ljust(width[q.key]) for q in present)]
    for t, char in enumerate(chars):
        cells = [
            f"{rows[q.key][t]:.2f} {bar(rows[q.key][t], _BAR)}" if q.is_gate else _signed(rows[q.key][t], width[q.key])
            for q in present
        ]
        lines.append(f"  {_visible(char)}  " + "  ".join(cells))
    lines = [line.rstrip() for line in lines]
    legend = ", ".join(f"{q.key} = {q.name(lang)}" for q in present)
    lines += ["", *_wrapped(legend, "  ")]
    if len(chars) and {"f", "i", "g", "c"} <= rows.keys():
        lines += ["", *_wrapped(memory_story(chars, rows, lang), "  ")]
    return "\n".join(lines)


def memory_story(chars: Sequence[str], trace: Mapping[str, Array], lang: str | None = None) -> str:
    """Tell what became of one unit's memory along a word: the largest write, how long it held, the largest loss.

    What was written at step k and is still there at step t is the product of the forget gates between them.
    """
    f, c = trace["f"], trace["c"]
    written = trace["i"] * trace["g"]
    T = len(chars)
    k = int(np.argmax(np.abs(written)))
    told = [say("explain.story.write", lang, at=_place(chars, k, lang), value=f"{written[k]:+.2f}")]

    left = np.cumprod(f[k + 1 :])  # of the write at k, after each later step
    held = int(np.argmax(left < 0.5)) if (left < 0.5).any() else len(left)
    if held == len(left):
        if k + 1 < T:
            told.append(say("explain.story.to_the_end", lang, share=percent(float(left[-1]))))
    elif held == 0:
        share = percent(float(left[0]))
        told.append(say("explain.story.lost_at_once", lang, at=_place(chars, k + 1, lang), share=share))
    else:
        key = "explain.story.held_one" if held == 1 else "explain.story.held"
        told.append(say(key, lang, count=held, at=_place(chars, k + 1 + held, lang)))

    lost = (1 - f[1:]) * np.abs(c[:-1])
    if T > 1:
        j = int(np.argmax(lost))
        at = _place(chars, j + 1, lang)
        if f[1:].min() > 0.9:
            told.append(say("explain.story.never", lang))
        else:
            fields = {"at": at, "share": percent(float(1 - f[j + 1])), "lost": f"{lost[j]:.2f}"}
            told.append(say("explain.story.forget", lang, **fields, memory=f"{c[j]:+.2f}"))
    return " ".join(told)


def _place(chars: Sequence[str], t: int, lang: str | None) -> str:
    return say("explain.story.place", lang, char=_visible(chars[t]).strip(), step=t + 1)


def _visible(char: str) -> str:
    """Return one character that can stand in a table, two columns wide: blanks and controls get a mark."""
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
