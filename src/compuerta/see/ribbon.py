"""A text coloured by what one unit did along it, for a terminal; with signs and heights where colours say nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from .scale import Scale, ink

Array = NDArray[Any]

_MARKS = {"\n": "⏎", "\r": "␍", "\t": "⇥"}


def cell(char: str) -> tuple[str, int]:
    r"""Return one character as printed in a line, and its width in columns; control characters become visible signs.

    >>> cell("ñ"), cell("\n"), cell("\x1b"), cell("漢"), cell("\u0301"), cell("\u202e")
    (('ñ', 1), ('⏎', 1), ('␛', 1), ('漢', 2), ('◌́', 1), ('\ufffd', 1))
    """
    if char in _MARKS:
        return _MARKS[char], 1
    if len(char) != 1:
        return "\ufffd", 1
    code, category = ord(char), unicodedata.category(char)
    if code < 0x20 or code == 0x7F:
        return chr(0x2400 + code) if code < 0x20 else "␡", 1
    if category[0] == "C" or category in ("Zl", "Zp"):
        return "\ufffd", 1
    if category[0] == "M":
        return "◌" + char, 1
    return char, 2 if unicodedata.east_asian_width(char) in "WF" else 1


def ribbon(chars: Sequence[str], values: Array, scale: Scale, *, width: int = 80, colours: int = 0) -> str:
    """Return a text with a unit's value behind, or beneath, each character.

    Lines break where the text does and at ``width`` columns. Below each line of text is one of signs (for signed
    quantities) and, without colours, one of heights.

    Args:
        chars: (T,) characters. values: (T,). scale: what they are measured on.
        width: columns of a line.
        colours: 0 for none, 256, or 2**24.

    >>> import numpy as np
    >>> print(ribbon("luz", np.array([0.1, -0.9, 0.0]), Scale(-1, 1, signed=True)))
    luz
    +−·
    ▁█▁
    """
    lines: list[str] = []
    row: list[tuple[str, int, float]] = []
    used = 0
    for char, value in zip(chars, values.tolist(), strict=True):
        glyph, columns = cell(char)
        if used + columns > width:
            lines += _lines(row, scale, colours)
            row, used = [], 0
        row.append((glyph, columns, value))
        used += columns
        if char == "\n":
            lines += _lines(row, scale, colours)
            row, used = [], 0
    lines += _lines(row, scale, colours)
    return "\n".join(lines)


def _lines(row: list[tuple[str, int, float]], scale: Scale, colours: int) -> list[str]:
    if not row:
        return []
    lines = ["".join(paint(glyph, scale, value, colours) for glyph, _, value in row)]
    if scale.signed or any(scale.sign(value) != " " for *_, value in row):
        lines.append("".join(scale.sign(value).ljust(columns) for _, columns, value in row))
    if not colours:
        lines.append("".join(scale.height(value).ljust(columns) for _, columns, value in row))
    return [line.rstrip() if not colours else line for line in lines]


def paint(text: str, scale: Scale, value: float, colours: int) -> str:
    """Return ``text`` on the colour of ``value``, or as it is without colours."""
    if not colours:
        return text
    back = scale.colour(value)
    front = ink(back)
    if colours > 256:
        return f"\x1b[38;2;{front[0]};{front[1]};{front[2]};48;2;{back[0]};{back[1]};{back[2]}m{text}\x1b[0m"
    return f"\x1b[38;5;{231 if front[0] else 16};48;5;{_nearest(back)}m{text}\x1b[0m"


def _nearest(colour: tuple[int, int, int]) -> int:
    """Return the nearest of the 6 × 6 × 6 colours and 24 greys that a terminal of 256 colours has."""
    levels = (0, 95, 135, 175, 215, 255)
    cube = [min(range(6), key=lambda k: abs(levels[k] - v)) for v in colour]
    grey = min(range(24), key=lambda k: abs(8 + 10 * k - sum(colour) / 3))

    def far(other: Sequence[int]) -> int:
        return sum((a - b) ** 2 for a, b in zip(colour, other, strict=True))

    if far([8 + 10 * grey] * 3) < far([levels[k] for k in cube]):
        return 232 + grey
    return 16 + 36 * cube[0] + 6 * cube[1] + cube[2]
