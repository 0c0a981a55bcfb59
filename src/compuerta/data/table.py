"""A CSV file as columns of cells, known for numbers, dates or text, with the line of the file for every complaint."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ..errors import DataError, Phrase
from .cells import Style, find_style, is_missing, is_number, marks, settle, short
from .dates import is_date, parse_dates

#: Rows of a table at most; a series is not made of more.
_MOST_ROWS = 5_000_000
_DELIMITERS = ("\t", ";", ",")


@dataclass(frozen=True, eq=False)
class Column:
    """One column: its name, its cells without surrounding blanks, and what they are.

    ``kind`` is ``"number"`` or ``"date"`` where more than half of the cells that are not missing are, else ``"text"``.
    ``style`` is the way of writing numbers that fits the most cells; ``open`` is the mark in it for which one cannot
    tell whether it precedes decimals or thousands, None where that is settled.
    """

    name: str
    cells: tuple[str, ...]
    kind: str
    style: Style
    open: str | None = None

    @property
    def filled_cells(self) -> list[str]:
        """The cells that are not missing."""
        return [cell for cell in self.cells if not is_missing(cell)]


@dataclass(frozen=True)
class Table:
    """A CSV file: its columns, the line of the file on which each row ends, what separates the cells, and whether the
    first row was a header; ``title`` is the line above it.

    >>> table = parse_table("Fecha;Valor\\n1/2/2021;3,5\\n2/2/2021;4\\n", "a.csv")
    >>> [(column.name, column.kind) for column in table.columns], table.lines
    ([('Fecha', 'date'), ('Valor', 'number')], (2, 3))
    """

    columns: tuple[Column, ...]
    lines: tuple[int, ...]
    delimiter: str
    header: bool
    title: str = ""

    @property
    def day_first(self) -> bool:
        """Whether the table comes from where the day is written before the month: where commas are decimal."""
        return self.delimiter == ";" or any(c.kind == "number" and c.style.decimal == "," for c in self.columns)

    def only(self, rows: Sequence[int]) -> Table:
        """Return the table of some rows; the columns keep the kinds detected over all rows."""
        columns = tuple(replace(column, cells=tuple(column.cells[k] for k in rows)) for column in self.columns)
        return replace(self, columns=columns, lines=tuple(self.lines[k] for k in rows))

    def listed(self, among: Iterable[Column], most: int = 8) -> Any:
        """Return the positions and names of some of the columns for a sentence: eight at most."""
        ids = [id(column) for column in among]
        every = [(k, column.name) for k, column in enumerate(self.columns) if id(column) in ids]
        text = ", ".join(f"{k}: {short(name)}" if name else str(k) for k, name in every[:most])
        return text if len(every) <= most else Phrase("word.and_more", first=text, count=len(every) - most)


def parse_table(text: str, path: object, decimal: str | None = None) -> Table:
    """Read the text of a CSV file; the separator (tab, semicolon or comma) and the header are detected.

    Excel's line ``sep=;`` is heeded, and a title above the header is set aside.

    Args:
        text: of the file.
        path: named in errors.
        decimal: the decimal mark, ``"."`` or ``","``, where it is known.

    Raises:
        DataError: bad quotes, rows of differing lengths, no rows below the header, or more than five millions of them.
    """
    lines = _Lines(text)
    first = re.match(r'\s*"?sep=(.)"?[ \t]*\n', text, re.IGNORECASE)
    delimiter = first[1] if first else _delimiter(text)
    rows: list[list[str]] = []
    ends: list[int] = []
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            if not rows and (not any(map(str.strip, row)) or (first and reader.line_num == first[0].count("\n"))):
                continue
            rows.append([cell.strip() for cell in row])
            ends.append(reader.line_num)
            if len(rows) > _MOST_ROWS:
                raise DataError("error.csv.too_long", path=path, most=_MOST_ROWS)
    except csv.Error as error:
        raise DataError("error.csv.malformed", path=path, line=reader.line_num, why=error) from None
    while rows and not any(rows[-1]):
        rows.pop()
    if not rows:
        raise DataError("error.text.empty", path=path)
    title = ""
    while _is_title(rows) or not any(rows[0]):  # and blank lines below it
        title = title or next(filter(None, rows[0]), "")
        del rows[0], ends[0]
    width = len(rows[0])
    for row, line in zip(rows, ends, strict=False):
        if len(row) != width and (row or width > 1):  # a blank line in a single column is an empty cell
            raise DataError("error.csv.ragged", path=path, line=line, expected=width, got=len(row))
    header = not any(is_number(cell) or is_date(cell) or (cell and is_missing(cell)) for cell in rows[0])
    names = [_printable(name) for name in rows[0]] if header else [""] * width
    body = rows[header:]
    if not body:
        raise DataError("error.csv.no_rows", path=path)
    columns = [_column(name, [row[k] if row else "" for row in body], decimal) for k, name in enumerate(names)]
    if decimal is None:
        columns = _settled(columns, delimiter)
    return Table(tuple(columns), tuple(ends[header : len(rows)]), delimiter, header, _printable(title))


class _Lines:
    """The lines of a text, one after another, without a copy of all of them."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __iter__(self) -> Iterator[str]:
        start = 0
        while start < len(self.text):
            end = self.text.find("\n", start) + 1 or len(self.text)
            yield self.text[start:end]
            start = end


def _delimiter(text: str) -> str:
    """Return the first of tab, semicolon and comma that splits the first row, and most rows alike if one does so.

    Where the first row is a title that none of them splits, the row below it counts.
    """
    splitting = []
    for delimiter in _DELIMITERS:
        reader = csv.reader(_Lines(text), delimiter=delimiter, skipinitialspace=True)
        try:
            rows = [[cell.strip() for cell in row] for row in islice(reader, 1000) if any(map(str.strip, row))]
        except csv.Error:
            continue
        if _is_title(rows):
            del rows[0]
        widths = [len(row) for row in rows]
        if widths and widths[0] > 1:
            if widths.count(widths[0]) * 2 > len(widths):
                return delimiter
            splitting.append(delimiter)
    return splitting[0] if splitting else "\t"  # a single column: its commas are decimal


def _is_title(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row is a title: one cell of words alone, above a row that can only be the header."""
    if len(rows) < 3:
        return False
    texts = [cell for cell in rows[0] if cell]
    if len(texts) > 1 or (texts and (is_number(texts[0]) or is_date(texts[0]))):
        return False
    below = next((row for row in rows[1:] if any(row)), [])
    names = [cell for cell in below if cell]
    after = next((row for row in rows[2:] if any(row) and row is not below), [])
    return (
        len(names) > 1
        and len(after) == len(below)
        and (len(rows[0]) == 1 or len(rows[0]) == len(below))
        and not any(is_number(cell) or is_date(cell) for cell in names)
        and any(is_number(cell) or is_date(cell) for cell in after)
    )


def _column(name: str, cells: Sequence[str], decimal: str | None) -> Column:
    filled = [cell for cell in cells if not is_missing(cell)]
    proved, unsure = marks(filled) if decimal is None else (set(), None)
    style = find_style(filled, decimal if decimal is not None else proved.pop() if len(proved) == 1 else None)
    kind = "text"
    if sum(style.number(cell) is not None for cell in filled) * 2 > len(filled):
        kind = "number"
    elif sum(map(is_date, filled)) * 2 > len(filled):
        kind = "date"
    elif not filled:
        kind = "empty"
    return Column(name, tuple(cells), kind, style, unsure if kind == "number" else None)


def _settled(columns: list[Column], delimiter: str) -> list[Column]:
    """Return the columns with the decimal marks that stay open settled by the rest of the table, where it does."""
    if not any(column.open for column in columns):
        return columns
    locale = [{";": ",", ",": "."}.get(delimiter, "")]
    for column in columns:
        if column.kind == "date":
            parsed = parse_dates(column.filled_cells, day_first=delimiter == ";")
            if not isinstance(parsed, int) and any(map(_slashed, column.filled_cells)):
                locale.append({"dmy": ",", "mdy": "."}.get(parsed[1], ""))
        elif column.kind == "number":
            locale += marks(column.filled_cells)[0]
    locale = [mark for mark in locale if mark]
    settled = []
    for column in columns:
        mark = column.open and settle(column.filled_cells, column.open, locale)
        settled.append(replace(column, style=replace(column.style, decimal=mark), open=None) if mark else column)
    return settled


def _slashed(cell: str) -> bool:
    """Whether a date is in figures with slashes or the like, in an order that countries differ in."""
    return re.match(r"\d{1,2}[-/.]\d{1,2}[-/.]", cell) is not None


def _printable(name: str) -> str:
    return "".join(character for character in name if character.isprintable())
