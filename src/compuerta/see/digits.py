"""Numbers as a person reads them: digits, shares, bars, and text in lines."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

WIDTH = 80
FEW = 8  #: up to so many units are listed one by one; more are summed up

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"


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


def short(v: float) -> str:
    """Write a factor to four decimals, a negative one in parentheses.

    >>> short(0.5), short(-0.5)
    ('0.5000', '(-0.5000)')
    """
    return f"({v:.4f})" if v < 0 and f"{v:.4f}" != "-0.0000" else f"{abs(v):.4f}"


def wrapped(text: str, indent: str, width: int = WIDTH) -> list[str]:
    """Return the lines of a paragraph."""
    glued = text.replace(" %", "\u00a0%")  # "72 %" stays on one line
    lines = textwrap.wrap(
        glued, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\u00a0%", " %") for line in lines]
