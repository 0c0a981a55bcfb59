"""One numeric series from a person's CSV file: its values oldest first, its dates, and how it goes on."""

from __future__ import annotations

import datetime as dt
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dates import Step, find_step, parse_dates
from .table import Column, Table, is_missing, parse_table, short, to_number
from .text import decode, read_text


@dataclass(frozen=True, eq=False)
class Series:
    """A series of T values, oldest first.

    Attributes:
        values: (T,) float64, all finite.
        name: the header of its column, or the file's name without suffix.
        dates: one date (or datetime, where the file gives times) per value, ascending; None without a column of dates.
        date_order: how the file writes its dates: ``"ymd"``, ``"mdy"``, ``"dmy"``, ``"ym"``, ``"my"`` or ``"y"``.
        step: the usual spacing of the dates; None without dates or where they keep to no spacing.
        period: steps in one season, as far as the spacing tells (see :meth:`compuerta.data.dates.Step.period`).
    """

    values: NDArray[np.float64]
    name: str = ""
    dates: list[dt.date] | None = None
    date_order: str | None = None
    step: Step | None = None
    period: int | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def gaps(self) -> int:
        """How many dates are missing between the first and the last; the values are taken as if none were."""
        if self.dates is None or self.step is None:
            return 0
        return max(0, round(self.step.between(self.dates[0], self.dates[-1])) + 1 - len(self.dates))

    def future_dates(self, h: int) -> list[dt.date] | None:
        """Return the ``h`` dates after the last one, or None where there is no spacing to go on with.

        >>> dates = [dt.date(2023, 11, 30), dt.date(2023, 12, 31)]
        >>> series = Series(np.zeros(2), "x", dates, step=Step(months=1))
        >>> [date.isoformat() for date in series.future_dates(2)]
        ['2024-01-31', '2024-02-29']
        """
        if self.dates is None or self.step is None:
            return None
        day = max(date.day for date in self.dates)
        return [self.step.after(self.dates[-1], k, day) for k in range(1, h + 1)]

    def until(self, n: int) -> Series:
        """Return the first ``n`` values, with all that is known of them."""
        return replace(self, values=self.values[:n], dates=None if self.dates is None else self.dates[:n])

    def to_json(self) -> dict[str, Any]:
        """Return all but the values as plain JSON values, for a model file."""
        return {
            "name": self.name,
            "dates": None if self.dates is None else [date.isoformat() for date in self.dates],
            "times": self.dates is not None and isinstance(self.dates[0], dt.datetime),
            "date_order": self.date_order,
            "step": None if self.step is None else asdict(self.step),
            "period": self.period,
        }

    @classmethod
    def from_json(cls, values: NDArray[np.float64], content: dict[str, Any]) -> Series:
        """Return the series of :meth:`to_json` with its values."""
        kind = dt.datetime if content["times"] else dt.date
        dates = None if content["dates"] is None else [kind.fromisoformat(text) for text in content["dates"]]
        step = None if content["step"] is None else Step(**content["step"])
        return cls(values, content["name"], dates, content["date_order"], step, content["period"])

    def label(self, date: dt.date) -> str:
        """Return a date in ISO form, as exact as the file has it: a day, a month, a year or a moment.

        >>> Series(np.zeros(1), "x", date_order="ym").label(dt.date(1949, 1, 1))
        '1949-01'
        """
        text = date.isoformat()
        return text[:4] if self.date_order == "y" else text[:7] if self.date_order in ("ym", "my") else text


def read_series(path: str | os.PathLike[str], column: str | int | None = None) -> Series:
    r"""Read one numeric column of a CSV file, and the dates beside it if there are any.

    Comma, semicolon and tab separate; decimal commas are read where the comma does not separate; a header, quotes
    and trailing blank lines may be there or not. Newest-first files are turned round. Whether the day or the month
    comes first is decided from all rows (:func:`compuerta.data.dates.parse_dates`) and told by ``date_order``. A
    column that only counts the rows is no candidate (in a file with a header); one that counts years serves as dates.

    Args:
        path: the file, UTF-8.
        column: the header of the column, or its place from 0 (also as text, ``"1"``); needed only where several
            columns hold numbers.

    Raises:
        OSError: the file cannot be read.
        DataError: it is not UTF-8 text, not a table, holds no or several columns of numbers, or one of its values or
            dates is missing, not a number, infinite or there twice; the sentence names the line.

    >>> import tempfile; file = Path(tempfile.mkdtemp(), "a.csv")
    >>> _ = file.write_text("Week,Gasoline\n04/30/2021,8864\n04/23/2021,8877\n")
    >>> series = read_series(file)
    >>> series.name, series.values, series.date_order, series.period
    ('Gasoline', array([8877., 8864.]), 'mdy', 52)
    >>> [series.label(date) for date in series.future_dates(1)]
    ['2021-05-07']
    """
    table = parse_table(read_text(path), path)
    chosen = _choose(table, column, path)
    values = _values(table, chosen, path)
    name = chosen.name or Path(path).stem
    dated = _dates(table, chosen, path)
    if dated is None:
        return Series(values, name)
    dates, date_order = dated
    order = sorted(range(len(dates)), key=dates.__getitem__)
    dates = [dates[k] for k in order]
    for k in range(1, len(dates)):
        if dates[k] == dates[k - 1]:
            line, first = table.lines[order[k]], table.lines[order[k - 1]]
            raise DataError("error.csv.twice", path=path, line=line, date=dates[k].isoformat(), first=first)
    step = find_step(dates)
    return Series(values[order], name, dates, date_order, step, step.period(len(dates)) if step else None)


def looks_like_series(path: str | os.PathLike[str]) -> bool:
    r"""Whether a file is a table with a column of numbers rather than a text, judged by its beginning.

    A name that ends in .csv or .tsv is believed unless there are lines without a single digit.

    Raises:
        OSError: the file cannot be read.

    >>> import tempfile; file = Path(tempfile.mkdtemp(), "a.txt")
    >>> _ = file.write_text("date,value\n2021-01,3\n2021-02,4\n2021-03,4\n"); looks_like_series(file)
    True
    >>> _ = file.write_text("Yes, 3 of them, and no more.\nOne, two,\nthree.\n"); looks_like_series(file)
    False
    """
    named_so = Path(path).suffix.lower() in (".csv", ".tsv")
    with open(path, "rb") as file:
        raw = file.read(65_536)
        whole = not file.read(1)
    if not whole:  # what comes after the last newline may be half a row or half a character
        raw = raw[: raw.rfind(b"\n") + 1] or raw
    try:
        text = decode(raw, path)
        if named_so:
            return any(mark.isdigit() for mark in text) or "\n" not in text.strip()  # one line: a header alone
        columns = parse_table(text, path).columns
    except DataError:
        return named_so  # reading it will tell what is wrong
    readable = max((_readable(column) for column in columns if column.kind == "number"), default=0.0)
    return readable >= 0.9 and len(columns[0].cells) >= 3


def _readable(column: Column) -> float:
    """Return the part of the cells that are numbers."""
    return sum(to_number(cell, column.style) is not None for cell in column.cells) / len(column.cells)


def _choose(table: Table, column: str | int | None, path: str | os.PathLike[str]) -> Column:
    """Return the column asked for, or the only one with numbers that do more than count the rows."""
    columns = table.columns
    if column is None:
        numeric = [c for c in columns if c.kind == "number"]
        if len(numeric) > 1 and table.header:  # without one, 1,5 2,5 3,5 might be decimal commas
            numeric = [c for c in numeric if _counter(c) is None] or numeric
        if not numeric:
            raise DataError("error.csv.no_numbers", path=path, columns=_told(columns, columns))
        if len(numeric) > 1:
            raise DataError("error.csv.several", path=path, columns=_told(columns, numeric))
        return numeric[0]
    named = [c for c in columns if c.name == column]
    if len(named) == 1:
        return named[0]
    try:
        place = int(column)
    except ValueError:
        place = -1
    if isinstance(column, bool) or not 0 <= place < len(columns):
        raise DataError("error.csv.column", path=path, got=repr(column), columns=_told(columns, columns))
    return columns[place]


def _told(columns: Sequence[Column], among: Sequence[Column]) -> str:
    """Return the places and names of the columns that are ``among`` some."""
    chosen = [(k, c.name) for k, c in enumerate(columns) if any(c is one for one in among)]
    return ", ".join(f"{k}: {short(name)}" if name else str(k) for k, name in chosen)


def _values(table: Table, column: Column, path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Return the numbers of a column; the first cell that is none is refused with its line."""
    values = np.empty(len(column.cells))
    for k, (cell, line) in enumerate(zip(column.cells, table.lines, strict=True)):
        if is_missing(cell):
            raise DataError("error.csv.missing", path=path, line=line, got=short(cell))
        value = to_number(cell, column.style)
        if value is None:
            raise DataError("error.csv.number", path=path, line=line, got=short(cell))
        if not math.isfinite(value):
            raise DataError("error.csv.infinite", path=path, line=line, got=short(cell))
        values[k] = value
    if len(values) < 2:
        raise DataError("error.csv.too_few", path=path, got=len(values))
    return values


def _dates(table: Table, values: Column, path: str | os.PathLike[str]) -> tuple[list[dt.date], str] | None:
    """Return the dates of the first column that has some, else of one that counts years, else None."""
    for column in table.columns:
        if column.kind == "date" and column is not values:
            parsed = parse_dates(column.cells, day_first=table.delimiter == ";")
            if isinstance(parsed, int):
                got = short(column.cells[parsed])
                raise DataError("error.csv.date", path=path, line=table.lines[parsed], got=got)
            return parsed
    for column in table.columns:
        years = _counter(column) if column is not values else None
        if years and min(years) >= 1000 and max(years) <= dt.MAXYEAR:
            return [dt.date(year, 1, 1) for year in years], "y"
    return None


def _counter(column: Column) -> list[int] | None:
    """Return the cells of a column of integers that goes up, or down, by one from row to row; else None."""
    if column.kind != "number" or not all(cell.isdecimal() and len(cell) < 10 for cell in column.cells):
        return None
    count = [int(cell) for cell in column.cells]
    step = count[-1] - count[0]
    if abs(step) != len(count) - 1 or step == 0:
        return None
    direction = 1 if step > 0 else -1
    return count if count == list(range(count[0], count[-1] + direction, direction)) else None
