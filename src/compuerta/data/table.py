"""A CSV file as columns of cells, and columns of cells as numbers, with the line of the file for every complaint."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from ..errors import DataError
from .dates import is_date

#: Cells that stand for a value nobody knows.
_MISSING = {"", "nan", "na", "n/a", "#n/a", "null", "none", "-", "--", ".", "?"}
_INFINITE = re.compile(r"[+-]?(inf|infinity|∞)", re.IGNORECASE)

_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d*)?(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_THOUSANDS_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d*)?", re.ASCII)


@dataclass(frozen=True)
class Column:
    """One column: its name, its cells without surrounding blanks, and what they are.

    ``kind`` is ``"number"`` or ``"date"`` where more than half of the cells that are not missing are, else ``"text"``.
    ``style`` is the way of writing numbers that fits the most cells.
    """

    name: str
    cells: tuple[str, ...]
    kind: str
    style: re.Pattern[str]


@dataclass(frozen=True)
class Table:
    """A CSV file: its columns, the line of the file on which each row ends, what separates the cells, and whether the
    first row was a header.

    >>> table = parse_table("Fecha;Valor\\n1/2/2021;3,5\\n2/2/2021;4\\n", "a.csv")
    >>> [(column.name, column.kind) for column in table.columns], table.lines
    ([('Fecha', 'date'), ('Valor', 'number')], (2, 3))
    """

    columns: tuple[Column, ...]
    lines: tuple[int, ...]
    delimiter: str
    header: bool


def parse_table(text: str, path: str | os.PathLike[str]) -> Table:
    """Read the text of a CSV file; tab, semicolon and comma are told apart, and a header from its absence.

    Raises:
        DataError: bad quotes, rows of differing lengths, or no rows below the header.
    """
    delimiter = _delimiter(text)
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            rows.append([cell.strip() for cell in row])
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError("error.csv.malformed", path=path, line=reader.line_num, why=error) from None
    while rows and not any(rows[-1]):
        rows.pop()
    while rows and not any(rows[0]):
        del rows[0], lines[0]
    if not rows:
        raise DataError("error.text.empty", path=path)
    width = len(rows[0])
    for row, line in zip(rows, lines, strict=False):
        if len(row) != width and (row or width > 1):  # a blank line in a single column is an empty cell
            raise DataError("error.csv.ragged", path=path, line=line, expected=width, got=len(row))
    header = not any(is_number(cell) or is_date(cell) or (cell and is_missing(cell)) for cell in rows[0])
    names = [_printable(name) for name in rows[0]] if header else [""] * width
    body = rows[header:]
    if not body:
        raise DataError("error.csv.no_rows", path=path)
    columns = (_column(name, [row[k] if row else "" for row in body], delimiter) for k, name in enumerate(names))
    return Table(tuple(columns), tuple(lines[header : len(rows)]), delimiter, header)


def to_number(cell: str, style: re.Pattern[str]) -> float | None:
    """Return the number in a cell, or None; infinity for ``inf`` and for what float64 cannot hold.

    >>> to_number("1.234,5", _DECIMAL_COMMA), to_number("1,234.5", _THOUSANDS_COMMA), to_number("x", _PLAIN)
    (1234.5, 1234.5, None)
    """
    cell = cell.replace("−", "-")
    if _INFINITE.fullmatch(cell):
        return float("-inf") if cell.startswith("-") else float("inf")
    if not style.fullmatch(cell):
        return None
    if style is _DECIMAL_COMMA:
        cell = cell.replace(".", "").replace(",", ".")
    return float(cell.replace(",", ""))


def is_number(cell: str) -> bool:
    """Whether a cell is a number in some way of writing.

    >>> [is_number(cell) for cell in ("-3.5e2", "1.234,5", "1,234", "12/5", "")]
    [True, True, True, False, False]
    """
    return any(to_number(cell, style) is not None for style in (_PLAIN, _DECIMAL_COMMA, _THOUSANDS_COMMA))


def is_missing(cell: str) -> bool:
    """Whether a cell is empty or says that the value is not known.

    >>> is_missing("NaN"), is_missing("0")
    (True, False)
    """
    return cell.lower() in _MISSING


def short(cell: str) -> str:
    """Return a cell as it may stand in an error: quoted, control characters escaped, not longer than a line.

    >>> short("a" * 50)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'"
    """
    return repr(cell if len(cell) <= 40 else cell[:39] + "…")


def _delimiter(text: str) -> str:
    """Return the first of tab, semicolon and comma that splits the first row, and most rows alike if one does so."""
    splitting = []
    for delimiter in ("\t", ";", ","):
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        try:
            widths = [len(row) for row in islice(reader, 1000) if any(cell.strip() for cell in row)]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            if widths.count(widths[0]) * 2 > len(widths):
                return delimiter
            splitting.append(delimiter)
    return splitting[0] if splitting else "\t"  # a single column: its commas are decimal


def _column(name: str, cells: Sequence[str], delimiter: str) -> Column:
    commas = (_THOUSANDS_COMMA, _DECIMAL_COMMA) if delimiter == "," else (_DECIMAL_COMMA, _THOUSANDS_COMMA)
    known = [cell for cell in cells if not is_missing(cell)]
    style, count = _PLAIN, -1
    for candidate in (_PLAIN, *commas):
        fitting = sum(to_number(cell, candidate) is not None for cell in known)
        if fitting > count:
            style, count = candidate, fitting
        if count == len(known):
            break
    kind = "text"
    if count * 2 > len(known):
        kind = "number"
    elif sum(map(is_date, known)) * 2 > len(known):
        kind = "date"
    return Column(name, tuple(cells), kind, style)


def _printable(name: str) -> str:
    return "".join(character for character in name if character.isprintable())
