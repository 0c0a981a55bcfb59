"""A person's CSV file as a series: which column, which dates, which of several series; ambiguities are reported."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Phrase, SettingError
from .cells import is_missing, is_number, short
from .dates import hours_of, looks_like_date, named_so, parse_dates, parse_numbers
from .series import Series, arranged
from .source import Named, Source
from .table import Column, Table, parse_table


@dataclass(frozen=True)
class Time:
    """The time axis: the columns it was read from, a date or a position for each row, and what the dates are."""

    columns: tuple[Column, ...]
    cells: tuple[str, ...]
    dates: list[dt.date] | None = None
    order: str = ""
    places: list[int] | None = None


def read_series(
    path: Named,
    column: str | int | None = None,
    *,
    decimal: str | None = None,
    thousands: str | None = None,
    missing: str = "mask",
    encoding: str | None = None,
    id: str | None = None,
) -> Series:
    r"""Read one numeric column of a CSV file, and the dates beside it if there are any.

    Comma, semicolon and tab separate; a title, a header, quotes and trailing blank lines may be there or not, and
    newest-first files are turned round. How numbers and dates are written is decided over all rows
    (:mod:`compuerta.data.cells`, :func:`compuerta.data.dates.parse_dates`), reported in ``notes``, and refused where it
    stays open. The series has a regular grid: steps that are missing, and cells that are empty, are marked in
    :attr:`Series.missing` and hold what the season would have there. A column that only counts the rows is no
    one (in a file with a header); one that counts years serves as dates.

    Args:
        path: the file, ``"-"`` for standard input, or a :class:`~compuerta.data.source.Source`.
        column: the header of the column, or its place from 0 (also as text, ``"1"``); needed only where several
            columns hold numbers.
        decimal: the decimal mark, ``"."`` or ``","``; found in the column if None.
        thousands: what groups thousands: ``"."``, ``","``, ``" "``, ``"'"``, or ``""`` for nothing.
        missing: ``"mask"``: missing values are never learnt from nor scored; ``"fill"``: they are taken as filled;
            ``"refuse"``: an error.
        encoding: of the file; see :class:`~compuerta.data.source.Source`.
        id: of the several series of a file, the one with this in its column of names (``"Madrid"``, or
            ``"city=Madrid"``).

    Raises:
        OSError: the file cannot be read.
        SettingError: an option is none of its values.
        DataError: it is not text, not a table, holds no or several columns of numbers, or several series, or one of
            its values or dates is not one, infinite or there twice; the sentence names the line.

    >>> import tempfile; from pathlib import Path; file = Path(tempfile.mkdtemp(), "a.csv")
    >>> _ = file.write_text("Week,Gasoline\n04/30/2021,8864\n04/23/2021,8877\n")
    >>> series = read_series(file)
    >>> series.name, series.values, series.date_order, series.period
    ('Gasoline', array([8877., 8864.]), 'mdy', 52)
    >>> [series.label(date) for date in series.future_dates(1)]
    ['2021-05-07']
    """
    source = Source.of(path, encoding)
    decimal, plain = _marks(decimal, thousands)
    if source.count > 1:
        raise DataError("error.csv.files", path=source.path, count=source.count)
    table = parse_table("".join(source.pieces()), source.path, decimal)
    if plain:
        table = replace(table, columns=tuple(
            replace(c, style=replace(c.style, decimal=c.open), open=None) if c.open else c for c in table.columns
        ))  # fmt: skip
    notes = list(source.notes)
    if table.title:
        notes.append(Phrase("input.title", title=short(table.title)))
    names: Column | None = None
    if id is not None:
        table, names = _only(table, id, source.path)
    time = _time(table, column, source.path)
    if names is None:
        _refuse_several(table, time, column, source.path)
    if time is None:
        _refuse_unread_dates(table, column, names, source.path)
    target = _choose(table, column, time, names, source.path)
    if time is not None and target in time.columns:
        time = None
    values = _values(table, target, missing, source.path)
    if time is not None and time.dates is not None:
        _refuse_twice(table, time, source.path)
    series = arranged(
        values,
        time.dates if time else None,
        name=target.name or source.name,
        date_order=time.order if time and time.dates else None,
        places=time.places if time else None,
        missing=missing,
    )
    notes += _reading_notes(table, target, time, names, series)
    return replace(series, decimal=target.style.decimal, notes=(*notes, *series.notes))


def looks_like_series(path: Named) -> bool:
    r"""Whether a file is a table with a column of numbers rather than a text, judged by its beginning.

    A name that ends in .csv or .tsv is believed unless there are lines without a single digit.

    Raises:
        OSError: the file cannot be read.

    >>> import tempfile; from pathlib import Path; file = Path(tempfile.mkdtemp(), "a.txt")
    >>> _ = file.write_text("date,value\n2021-01,3\n2021-02,4\n2021-03,4\n"); looks_like_series(file)
    True
    >>> _ = file.write_text("Yes, 3 of them, and no more.\nOne, two,\nthree.\n"); looks_like_series(file)
    False
    """
    if not isinstance(path, Source):
        with Source(path) as source:
            return looks_like_series(source)
    source = path
    named = source.suffix in (".csv", ".tsv")
    try:
        text = source.head()
        if named:
            return any(mark.isdigit() for mark in text) or "\n" not in text.strip()  # one line: a header alone
        columns = parse_table(text, source.path).columns
    except DataError:
        return named  # reading it will give the error
    readable = max((_readable(column) for column in columns if column.kind == "number"), default=0.0)
    return readable >= 0.9 and len(columns[0].cells) >= 3


def _readable(column: Column) -> float:
    """Return the share of the cells that are numbers or mark a missing one."""
    return sum(column.style.number(c) is not None or is_missing(c) for c in column.cells) / len(column.cells)


def _marks(decimal: str | None, thousands: str | None) -> tuple[str | None, bool]:
    """Return the decimal mark that the two options give, and whether neither ``.`` nor ``,`` groups thousands."""
    if decimal not in (None, ".", ","):
        raise SettingError("error.choice", name="decimal", known="'.', ','", got=repr(decimal))
    if thousands not in (None, ".", ",", " ", "'", ""):
        raise SettingError("error.choice", name="thousands", known="'.', ',', ' ', \"'\", ''", got=repr(thousands))
    if decimal is not None and decimal == thousands:
        raise SettingError("error.csv.same_mark", got=repr(decimal))
    if thousands in (".", ","):
        return ("," if thousands == "." else "."), False
    return decimal, thousands is not None


# ---- which rows: several series in one file -------------------------------------------------------------------------


def _only(table: Table, id: str, path: object) -> tuple[Table, Column]:
    """Return the rows of one series, and the column that names it."""
    name, equals, value = id.partition("=")
    columns = [c for c in table.columns if equals and c.name == name]
    if not columns:
        value = id
        columns = [c for c in table.columns if c.kind == "text" or _whole(c)]
    holding = [c for c in columns if value in c.cells]
    words = [c for c in holding if c.kind == "text"] or holding
    if len(words) != 1:
        among = words or [c for c in columns if 1 < len(set(c.cells)) <= len(c.cells) / 2]
        key = "error.csv.id_twice" if words else "error.csv.no_id"
        raise DataError(key, path=path, got=repr(id), columns=table.listed(among or columns))
    place = table.columns.index(words[0])
    rows = [k for k, cell in enumerate(words[0].cells) if cell == value]
    table = table.only(rows)
    return table, table.columns[place]


def _whole(column: Column) -> bool:
    return column.kind == "number" and all(cell.isdecimal() for cell in column.filled_cells)


def _refuse_several(table: Table, time: Time | None, column: str | int | None, path: object) -> None:
    """Refuse a file in which a column names several series, each with times of its own."""
    target = _find_column(table, column)
    n = len(table.lines)
    for names in sorted(table.columns, key=lambda c: c.kind != "text"):
        groups = Counter(names.cells)
        used = names is target or (time is not None and names in time.columns)
        if used or not (names.kind == "text" or _whole(names)) or not 1 < len(groups) <= n / 2:
            continue
        others = [
            c for c in table.columns if c is not names and c.kind == "number" and not (time and c in time.columns)
        ]
        if not others:
            continue
        when = time.cells if time is not None else None
        if when is None or len(set(when)) == n:
            when = next((c.cells for c in others if len(others) > 1 and _restarts(names.cells, c)), None)
        if when is None or len(set(when)) == n or len(set(zip(names.cells, when, strict=True))) < n:
            continue
        some = ", ".join(short(cell) for cell, _ in groups.most_common(3))
        of = Phrase("word.and_more", first=some, count=len(groups) - 3) if len(groups) > 3 else some
        place = table.columns.index(names)
        named = short(names.name) if names.name else str(place)
        raise DataError("error.csv.ids", path=path, column=named, ids=of, first=next(iter(groups)), count=len(groups))


def _restarts(names: Sequence[str], column: Column) -> bool:
    """Whether a column of whole numbers counts on by one step within each of several series."""
    if not _whole(column) or len(column.filled_cells) < len(column.cells):
        return False
    rows: dict[str, list[int]] = {}
    for name, cell in zip(names, column.cells, strict=True):
        rows.setdefault(name, []).append(int(cell))
    steps = {b - a for numbers in rows.values() for a, b in pairwise(numbers)}
    return len(steps) == 1 and steps != {0} and max(map(len, rows.values())) > 1


# ---- which column ---------------------------------------------------------------------------------------------------


def _find_column(table: Table, column: str | int | None) -> Column | None:
    """Return the column asked for by its name or place, or None."""
    if column is None:
        return None
    named = [c for c in table.columns if c.name == column]
    if len(named) == 1:
        return named[0]
    try:
        place = int(column)
    except ValueError:
        return None
    return None if isinstance(column, bool) or not 0 <= place < len(table.columns) else table.columns[place]


def _choose(table: Table, column: str | int | None, time: Time | None, names: Column | None, path: object) -> Column:
    """Return the column asked for, or the only column of numbers that is not a time axis."""
    if column is not None:
        named = _find_column(table, column)
        if named is None:
            raise DataError("error.csv.column", path=path, got=repr(column), columns=table.listed(table.columns))
        return named
    numeric = [c for c in table.columns if c.kind == "number" and c is not names]
    if len(numeric) > 1 and table.header:  # without one, 1,5 2,5 3,5 might be decimal commas
        used = time.columns if time is not None else ()
        numeric = [c for c in numeric if c not in used] or numeric
        numeric = [c for c in numeric if _counter(c) is None] or numeric
    if not numeric:
        raise DataError("error.csv.no_numbers", path=path, columns=table.listed(table.columns))
    if len(numeric) > 1:
        raise DataError("error.csv.several", path=path, columns=table.listed(numeric), first=numeric[0].name or
                        str(table.columns.index(numeric[0])))  # fmt: skip
    return numeric[0]


def _values(table: Table, column: Column, missing: str, path: object) -> NDArray[np.float64]:
    """Return the numbers of a column, NaN where one is missing; a cell that is none is refused with its line."""
    if column.open:
        cell = next(c for c in column.filled_cells if column.open in c)
        raise DataError("error.csv.open", path=path, column=short(column.name), got=short(cell),
                        line=table.lines[column.cells.index(cell)], mark=column.open)  # fmt: skip
    values = np.full(len(column.cells), np.nan)
    for k, (cell, line) in enumerate(zip(column.cells, table.lines, strict=True)):
        if is_missing(cell):
            if missing == "refuse":
                raise DataError("error.csv.missing", path=path, line=line, got=short(cell))
            continue
        value = column.style.number(cell)
        if value is None and column.style.unit and is_number(cell):
            raise DataError("error.csv.unit", path=path, line=line, got=short(cell), unit=column.style.unit)
        if value is None:
            raise DataError("error.csv.number", path=path, line=line, got=short(cell))
        if not math.isfinite(value):
            raise DataError("error.csv.infinite", path=path, line=line, got=short(cell))
        values[k] = value
    if np.isfinite(values).sum() < 2:
        raise DataError("error.csv.too_few", path=path, got=int(np.isfinite(values).sum()))
    return values


# ---- when -----------------------------------------------------------------------------------------------------------


def _time(table: Table, column: str | int | None, path: object) -> Time | None:
    """Return the time axis: dates, with times of day beside them; else numbers that encode dates, or count."""
    target = _find_column(table, column)
    others = [c for c in table.columns if c is not target]
    for one in others:
        if one.kind == "date":
            cells, columns = one.cells, [one]
            for beside in others if ":" not in cells[0] else ():
                hours = hours_of(beside.cells, beside.name)
                if hours is not None:
                    cells = tuple(f"{date} {hour}" for date, hour in zip(cells, hours, strict=True))
                    columns.append(beside)
                    break
            parsed = parse_dates(cells, table.day_first)
            if isinstance(parsed, int):
                raise DataError("error.csv.date", path=path, line=table.lines[parsed], got=short(cells[parsed]))
            return Time(tuple(columns), cells, *parsed)
    numeric = [c for c in others if c.kind == "number"]
    if not target and len(numeric) < 2:
        return None
    for one in numeric:
        dates = parse_numbers(one.cells, one.name)
        if dates is not None and (dates[1] not in ("y", "epoch") or _counter(one) is not None or len(numeric) > 1):
            return Time((one,), one.cells, *dates)
    for one in numeric:
        places = _counter(one)
        if places is not None and (table.header or target):
            return Time((one,), one.cells, places=places)
    return None


def _counter(column: Column) -> list[int] | None:
    """Return the places that a column counts, from row to row and always up or down, some left out; else None.

    It counts by one, or by any one step if it is called as times are.
    """
    if column.kind != "number" or len(column.cells) < 2 or column.open:
        return None
    read = [column.style.number(cell) for cell in column.cells]
    numbers = [n for n in read if n is not None and math.isfinite(n)]
    if len(numbers) < len(read):
        return None
    steps = [b - a for a, b in pairwise(numbers)]
    usual, count = Counter(round(step, 9) for step in steps).most_common(1)[0]
    if usual == 0 or any(step * usual <= 0 for step in steps) or count < 0.9 * len(steps):
        return None
    if abs(usual) != 1 and not named_so(column.name):
        return None
    least = min(numbers)
    places = [(n - least) / abs(usual) for n in numbers]
    return [round(p) for p in places] if all(abs(p - round(p)) < 1e-3 for p in places) else None


def _refuse_twice(table: Table, time: Time, path: object) -> None:
    """Refuse a date that comes twice, by its lines; an hour of the night in which clocks go back has its own word."""
    assert time.dates is not None
    first: dict[dt.date, int] = {}
    twice = []
    for k, date in enumerate(time.dates):
        if date in first:
            twice.append((first[date], k, date))
        first.setdefault(date, k)
    if not twice:
        return
    before, k, date = twice[0]
    nights = {d.date() for _, _, d in twice if isinstance(d, dt.datetime) and d.tzinfo is None and d.hour < 4}
    autumn = all(
        isinstance(d, dt.datetime) and d.tzinfo is None and d.hour < 4 and d.weekday() == 6 for _, _, d in twice
    )
    key = "error.csv.autumn" if autumn and len({d.year for d in nights}) == len(nights) else "error.csv.twice"
    raise DataError(key, path=path, line=table.lines[k], date=date.isoformat(), first=table.lines[before],
                    got=short(time.cells[k]))  # fmt: skip


def _refuse_unread_dates(table: Table, column_name: str | int | None, names: Column | None, path: object) -> None:
    """Refuse a table without dates in which a column seems to contain some: they must not be silently ignored."""
    target, numeric = _find_column(table, column_name), [c for c in table.columns if c.kind == "number"]
    for column in table.columns:
        if column is target or column is names or not column.filled_cells or (numeric == [column] and target is None):
            continue
        named_as_time = named_so(column.name) and _counter(column) is None
        cells = column.filled_cells
        seeming = column.kind == "text" and sum(map(looks_like_date, cells)) * 2 > len(cells)
        if named_as_time or seeming:
            k = next(k for k, cell in enumerate(column.cells) if not is_missing(cell))
            raise DataError("error.csv.unread_dates", path=path, line=table.lines[k], got=short(column.cells[k]),
                            column=short(column.name) if column.name else table.columns.index(column))  # fmt: skip


# ---- what it was taken for ------------------------------------------------------------------------------------------


def _reading_notes(
    table: Table, target: Column, time: Time | None, names: Column | None, series: Series
) -> list[Phrase]:
    """Return notes on how the columns were interpreted."""
    notes = []
    marked = next((c for c in target.filled_cells if not c.lstrip("+-").isdecimal()), target.filled_cells[0])
    value = target.style.number(marked)
    key = "input.read_as_percent" if target.style.unit == "%" else "input.read_as"
    notes.append(Phrase(key, column=short(series.name), cell=short(marked), value=f"{value:.15g}"))
    if time is not None and series.dates:
        span = {"first": series.label(series.dates[0]), "last": series.label(series.dates[-1])}
        notes.append(Phrase("input.dates", **span, order=Phrase(f"input.order.{series.date_order}")))
    elif time is not None:
        notes.append(Phrase("input.counter", column=short(time.columns[0].name)))
    used = [target, *(time.columns if time is not None else ()), *([names] if names is not None else [])]
    unused = [c for c in table.columns if not any(c is one for one in used) and c.name]
    if unused:
        notes.append(Phrase("input.unused", columns=table.listed(unused)))
    return notes
