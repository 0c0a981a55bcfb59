"""What a command writes: results to stdout, progress and notes to stderr, nothing that could harm a terminal."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

import click

_ESCAPES = re.compile(
    r"""\x1b\[[0-?]*[ -/]*[@-~] | \x9b[0-?]*[ -/]*[@-~]   # CSI: colours, cursor
    | \x1b[\]PX^_].*?(?:\x07|\x1b\\|$)                   # OSC and the other strings: titles, links
    | \x1b[ -/]*[0-~]                                     # the short ones
    """,
    re.S | re.X,
)
#: What JSON may hold as it is and a terminal obeys: the controls from DEL on, line separators, marks of direction; and
#: surrogates, which no UTF-8 file contains.
_UNSEEN = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_WHITE = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")


def clean(text: str, *, lines: bool = False) -> str:
    """Make text that came from a file or an argument safe to print: no escape sequences, no control characters.

    Args:
        text: what came.
        lines: keep line breaks and tabs, for a whole text; without it they become one space, for a name.

    >>> clean("\\x1b[31mred\\x1b[0m name\\x07\\nof two lines")
    'red name of two lines'
    """
    text = _ESCAPES.sub("", text)
    if not lines:
        text = _WHITE.sub(" ", text)
    # Cc: control; Cs: bytes that were no UTF-8; bidirectional overrides reorder the text around them
    return "".join(
        "\ufffd" if unicodedata.category(c) == "Cs" else c
        for c in text
        if (unicodedata.category(c) != "Cc" or (lines and c in "\n\t"))
        and c not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def out(text: str) -> None:
    """Write a result to stdout."""
    click.echo(text)


def columns(most: int = 80) -> int:
    """Return the width of a line on stdout: the terminal's, where it is narrower than ``most``; 80 where it is none."""
    return max(20, min(shutil.get_terminal_size().columns, most)) if is_terminal(sys.stdout) else 80


def out_wrapped(text: str, indent: str = "") -> None:
    """Write a sentence to stdout in lines of at most 80 columns or a terminal's; further ones begin with ``indent``."""
    out("\n".join(textwrap.wrap(text, columns(), subsequent_indent=indent, break_long_words=False)))


def out_json(value: Any) -> None:
    """Write a result to stdout as one line of JSON; arrays become lists, NaN and infinity null.

    Control characters and halves of surrogate pairs are written as JSON escapes.
    """
    out(_UNSEEN.sub(_escaped, json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, os.PathLike) else value


def log(text: str) -> None:
    """Write progress or a note to stderr."""
    click.echo(text, err=True)


#: Colours by meaning; never red against green.
STYLES: dict[str, dict[str, Any]] = {
    "title": {"bold": True},
    "dim": {"dim": True},
    "f": {"fg": "blue"},
    "i": {"fg": "yellow"},
    "o": {"fg": "magenta"},
    "g": {"fg": "cyan"},
    "c": {"fg": "cyan"},
    "h": {"fg": "cyan"},
    "r": {"fg": "yellow"},
    "z": {"fg": "blue"},
    "n": {"fg": "cyan"},
}


def colours(stream: TextIO | None = None) -> int:
    """Return how many colours a stream (stdout if not given) shows: 0, 256 or 2**24.

    None where nobody reads it directly, where ``NO_COLOR`` is set or ``TERM`` is ``dumb``.
    """
    stream = stream or sys.stdout
    if not is_terminal(stream) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return 0
    return 2**24 if os.environ.get("COLORTERM") in ("truecolor", "24bit") else 256


def painter(stream: TextIO | None = None) -> Callable[[str, str], str]:
    """Return ``paint(text, style)`` for a stream (stdout if not given).

    It colours on a terminal only, and never where ``NO_COLOR`` is set or ``TERM`` is ``dumb``.
    """
    return (lambda text, style: click.style(text, **STYLES[style])) if colours(stream) else (lambda text, style: text)


def page_width() -> int:
    """Return the columns of a line of prose on stdout: those of :func:`columns`, and no fewer than its tables take."""
    return max(44, columns())


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a person reads this stream directly."""
    return stream is not None and not stream.closed and stream.isatty()


def prepare_streams() -> None:
    """Let no character stop the program: files and pipes get UTF-8, a terminal what it can show."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):  # closed, or not a text stream of Python's own
            if is_terminal(stream) or "PYTHONIOENCODING" in os.environ:
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
            else:
                stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]


def settle_streams() -> None:
    """Drop what can no longer be written, so that the interpreter ends without a word about it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
