"""Numbers as people write them, a whole column at once, with the rest of the table as evidence.

``1.028`` is one thousand and twenty-eight in Madrid and a little more than one in London. A column tells which where
one of its cells can be read in one way only (``1.028,5``, ``0.5``, ``12.25``, ``1.000.000``). Where none does, what the
rest of the table shows has to agree; where it does not, the column is ambiguous and is not guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

#: Cells that mean a missing value.
_MISSING = {
    "", "nan", "na", "n/a", "#n/a", "#n/d", "n/d", "nd", "s/d", "null", "none", "-", "--", "—", "–", ".", "..",
    "...", "?", "#value!", "#¡valor!", "#div/0!", "#¡div/0!", "#ref!", "#¡ref!",
}  # fmt: skip
_INFINITE = re.compile(r"[+-]?(inf|infinity|∞)", re.IGNORECASE)
_BLANKS = " \u00a0\u2009\u202f\u2019'"  # also those that do not break, and apostrophes
#: A cell without its unit: sign, digits, which may be in groups of three, decimals, exponent.
_STYLES = {
    decimal: re.compile(
        rf"[+-]?(\d+(?:{mark}\d*)?|{mark}\d+|[1-9]\d{{0,2}}(?:[{group}{_BLANKS}]\d{{3}})+(?:{mark}\d*)?)(?:e[+-]?\d+)?",
        re.IGNORECASE | re.ASCII,
    )
    for decimal, mark, group in ((".", r"\.", ","), (",", ",", r"\."))
}
_OPEN = re.compile(r"[+-]?[1-9]\d{0,2}([.,])\d{3}", re.ASCII)
_UNIT = re.compile(
    r"(?P<before>[€$£¥]|EUR|USD|GBP|US\$|R\$|S/)? *(?P<number>[^\s].*?) *(?P<after>[€$£¥%]|EUR|USD|GBP|euros?)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Style:
    """How a column writes its numbers: the decimal mark, and the unit beside them (``"€"``, ``"%"`` or none)."""

    decimal: str = "."
    unit: str = ""

    def number(self, cell: str) -> float | None:
        """Return the number in a cell, or None; infinity for ``inf`` and for what float64 cannot hold.

        >>> Style(",").number("1.234,5"), Style().number("1,234.5"), Style(",", "€").number("(3 €)")
        (1234.5, 1234.5, -3.0)
        """
        unit, cell = _bare(cell)
        if (unit and unit != self.unit) or (self.unit == "%" and not unit):
            return None
        if _INFINITE.fullmatch(cell):
            return float("-inf") if cell.startswith("-") else float("inf")
        if not _STYLES[self.decimal].fullmatch(cell):
            return None
        cell = re.sub(f"[{_BLANKS}]", "", cell)
        return float(cell.replace(".", "").replace(",", ".") if self.decimal == "," else cell.replace(",", ""))


def is_number(cell: str) -> bool:
    """Whether a cell is a number in some way of writing.

    >>> [is_number(cell) for cell in ("-3.5e2", "1.234,5", "1,234", "12 %", "$5", "12/5", "")]
    [True, True, True, True, True, False, False]
    """
    unit, _ = _bare(cell)
    return any(Style(decimal, unit).number(cell) is not None for decimal in ".,")


def is_missing(cell: str) -> bool:
    """Whether a cell is empty or says that the value is not known.

    >>> is_missing("NaN"), is_missing("0")
    (True, False)
    """
    return cell.lower() in _MISSING


def find_style(cells: Sequence[str], decimal: str | None = None) -> Style:
    """Return the style that fits the most cells; a mark that stays open is the decimal point (see :func:`open_mark`).

    >>> find_style(["1.028,5 €", "880 €"])
    Style(decimal=',', unit='€')
    """
    units = Counter(_bare(cell)[0] for cell in cells)
    marked = [unit for unit, _ in units.most_common() if unit]
    unit = marked[0] if marked else ""
    if decimal is not None:
        return Style(decimal, unit)
    fitting = {
        style: sum(style.number(cell) is not None for cell in cells) for style in (Style(".", unit), Style(",", unit))
    }
    return max(fitting, key=fitting.__getitem__)


def marks(cells: Sequence[str]) -> tuple[set[str], str | None]:
    """Return the decimal marks that some cell proves, and the mark that stays open: once, before three figures.

    >>> marks(["1.028", "917"]), marks(["1.028", "917.5"]), marks(["1.028.000"])
    ((set(), '.'), ({'.'}, None), ({','}, None))
    """
    proved: set[str] = set()
    counts: Counter[str] = Counter()
    for cell in cells:
        _, bare = _bare(cell)
        unsure = _OPEN.fullmatch(bare)
        if unsure:
            counts[unsure[1]] += 1
        elif "." in bare or "," in bare:
            fitting = [decimal for decimal in ".," if _STYLES[decimal].fullmatch(bare)]
            if len(fitting) == 1:
                proved.add(fitting[0])
    return proved, (counts.most_common(1)[0][0] if counts and not proved else None)


def settle(cells: Sequence[str], mark: str, locale: Sequence[str]) -> str | None:
    """Return the decimal mark of a column in which ``mark`` is ambiguous, or None if it stays so.

    Args:
        cells: those that are known.
        mark: the mark that occurs once, before three digits: ``"."`` or ``","``.
        locale: the decimal marks that the rest speaks for: what separates the cells, how dates are written, what
            other columns prove.

    Numbers without the mark beside others with it (``880``, ``917``, ``1.028``) speak for thousands: three decimals are
    seldom all zero. That and one more witness settle it for thousands, and so do two; one settles it for decimals.
    No witness may contradict.

    >>> settle(["880", "1.028"], ".", [","]), settle(["880", "1.028"], ".", []), settle(["1.028", "1.5"], ".", ["."])
    (',', None, '.')
    """
    other = "," if mark == "." else "."
    whole = any(re.fullmatch(r"[+-]?[1-9]\d{2,}", _bare(cell)[1]) for cell in cells)
    if mark in locale:
        return None if other in locale or whole else mark
    return other if locale.count(other) + whole >= 2 else None


def short(cell: str) -> str:
    """Return a cell for an error message: quoted, control characters escaped, no longer than a line.

    >>> short("a" * 50)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'"
    """
    return repr(cell if len(cell) <= 40 else cell[:39] + "…")


def _bare(cell: str) -> tuple[str, str]:
    """Return the unit of a number and the number alone; one in brackets is negative, as accountants write it."""
    cell = cell.replace("−", "-")
    if cell[:1].isdigit() and cell[-1:].isdigit():  # most cells
        return "", cell
    brackets = cell.startswith("(") and cell.endswith(")")
    sign = "-" if brackets else ""
    cell = cell[1:-1] if brackets else cell
    if cell[:1] in ("-", "+") and not brackets:
        sign, cell = cell[0], cell[1:].lstrip()
    match = _UNIT.fullmatch(cell)
    if match is None or (match["before"] and match["after"]):
        return "", sign + cell
    unit = (match["before"] or match["after"] or "").upper()
    symbols = {"EUR": "€", "EURO": "€", "EUROS": "€", "USD": "$", "US$": "$", "GBP": "£"}
    return symbols.get(unit, unit), sign + match["number"]
