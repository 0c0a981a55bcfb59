"""Dates as people write them, a whole column at once; see :mod:`compuerta.data.steps` for their spacing."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from .steps import find_step, month_of

_QUARTER = re.compile(  # 2020Q3, 2020-T3; Q3 2020, 3T2020
    r"(?P<y>\d{4})[-/ ]?[qt](?P<q>[1-4])|(?:[qt](?P<q2>[1-4])|(?P<q3>[1-4])[qt])[-/ ]?(?P<y2>\d{4})", re.IGNORECASE
)
_WEEK = re.compile(r"(\d{4})-?[ws](\d\d)(?:-?([1-7]))?", re.IGNORECASE)  # 2020-W02, 2020-S02, 2020-W02-3
_MONTHS = {
    "jan": 1, "ene": 1, "feb": 2, "mar": 3, "apr": 4, "abr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "ago": 8,
    "sep": 9, "set": 9, "oct": 10, "nov": 11, "dec": 12, "dic": 12,
}  # fmt: skip
_YEAR_THEN_NAME = re.compile(r"(?P<y>\d{4})[-/ ](?P<m>[a-z]{3,10})\.?(?:[-/ ](?P<d>\d{1,2}))?", re.IGNORECASE)
_NAME_THEN_YEAR = re.compile(  # 1 de enero de 2021; Jan 1, 2021; 1-ene-21; Jan-49
    r"(?:(?P<d>\d{1,2})[-/ ](?:de )?)?(?P<m>[a-z]{3,10})\.?[-/ ](?:(?P<d2>\d{1,2}),? )?(?:de )?(?P<y>\d{4}|\d\d)",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(\d{1,4})(?P<mark>[-/.])(\d{1,4})(?:(?P=mark)(\d{1,4}))?"
    r"(?:(?:[Tt]| *[, ]) *(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d*)?)? *([ap]\.? ?m\b\.?)?"
    r" *(Z|UTC|[+-]\d\d:?(?:\d\d)?)?)?",
    re.IGNORECASE,
)
_TIME = re.compile(r"\d{1,2}:\d\d(:\d\d)?( *[ap]\.? ?m\.?)?", re.IGNORECASE)
#: What a column of dates is called; in small letters, without accents.
_NAMES = {
    "date", "fecha", "day", "dia", "month", "mes", "year", "ano", "anio", "week", "semana", "quarter", "trimestre",
    "time", "hora", "hour", "timestamp", "datetime", "fechahora", "periodo", "period", "ds", "when", "cuando", "epoch",
}  # fmt: skip

_ORDERS = ("ymd", "mdy", "dmy")


def is_date(cell: str) -> bool:
    """Whether a cell is a date in some order of year, month and day.

    >>> [is_date(cell) for cell in ("1949-01", "4/30/2021 12:30", "2020Q3", "1 de mayo de 2020", "31/2/2020", "12.5")]
    [True, True, True, True, False, False]
    """
    cell = _in_figures(cell)
    return any(_parse(cell, order) for order in _ORDERS)


def parse_dates(cells: Sequence[str], day_first: bool = False) -> tuple[list[dt.date], str] | int:
    """Read a column of dates, deciding from all of it whether the day or the month comes first.

    Of the orders in which every cell is a date, the one with the most even spacing is taken: 1/1, 1/2, 1/3 ... 1/12
    may be twelve days or twelve months, but a column that goes on with 2/1 tells. What is still undecided has the
    month first, unless ``day_first`` is set or the dates are written with dots.

    Returns:
        The dates (all ``datetime.date``, or all ``datetime.datetime`` if the column has times) and the order of
        year, month and day (``"ymd"``, ``"mdy"``, ``"dmy"``, ``"ym"``, ``"my"``; ``"yw"`` for ISO weeks, each given
        as its Monday); or the index of the first cell that is no date in the order that suits the most cells.

    >>> parse_dates(["12/30/1990", "12/31/1990"])
    ([datetime.date(1990, 12, 30), datetime.date(1990, 12, 31)], 'mdy')
    >>> parse_dates(["1/2/2021", "31/2/2021"])
    1
    """
    weeks = all(match and not match[3] for match in map(_WEEK.fullmatch, cells))
    cells = [_in_figures(cell) for cell in cells]
    orders = sorted(_ORDERS, key=("mdy" if day_first or _dotted(cells) else "dmy").__eq__)  # the less likely goes last
    readings = [(order, _read(cells, order)) for order in orders]
    complete = [(order, [date for date in dates if date]) for order, dates in readings if None not in dates]
    if not complete:
        nearest = min((dates for _, dates in readings), key=lambda dates: dates.count(None))
        return nearest.index(None)
    order, dates = max(complete, key=lambda reading: _evenness(reading[1]))
    if weeks:
        return [date.date() for date in dates], "yw"
    with_day = any(match[4] for match in map(_DATE.fullmatch, cells) if match)
    timed = any(date.time() != dt.time() or date.tzinfo for date in dates)
    return [date if timed else date.date() for date in dates], order if with_day else order.replace("d", "")


def parse_numbers(cells: Sequence[str], name: str = "") -> tuple[list[dt.date], str] | None:
    """Return the dates that whole numbers write, and how: 20210131 (``"ymd"``), 202101 (``"ym"``), 2021 (``"y"``),
    seconds or thousandths of them since 1970 (``"epoch"``, in UTC), or days as Excel counts them (``"excel"``), if
    the column has a ``name`` for dates. None unless all do, at a steady step.

    >>> parse_numbers(["20210131", "20210201", "20210202"])[0][2]
    datetime.date(2021, 2, 2)
    >>> parse_numbers(["1577836800", "1577840400", "1577844000"])[0][1].isoformat()
    '2020-01-01T01:00:00+00:00'
    >>> parse_numbers(["8864", "8877", "8500"]) is None
    True
    """
    figures = [cell.removesuffix(".0") for cell in cells]
    if len(figures) < 2 or not all(cell.isascii() and cell.isdecimal() for cell in figures):
        return None
    numbers = [int(cell) for cell in figures]
    low, high = min(numbers), max(numbers)
    dates: list[dt.date]
    try:
        if low >= 1000 and high <= 2200:
            dates, order = [dt.date(n, 1, 1) for n in numbers], "y"
        elif low >= 190_001 and high <= 220_012:
            dates, order = [dt.date(n // 100, n % 100, 1) for n in numbers], "ym"
        elif low >= 19_000_101 and high <= 22_001_231:
            dates, order = [dt.date(n // 10_000, n // 100 % 100, n % 100) for n in numbers], "ymd"
        elif (low >= 10**8 and high < 10**10) or (low >= 10**11 and high < 10**13):
            unit = 1000 if low >= 10**11 else 1
            times = [dt.datetime.fromtimestamp(n / unit, dt.UTC) for n in numbers]
            midnight = all(time.time() == dt.time() for time in times)
            dates, order = [time.date() for time in times] if midnight else list(times), "epoch"
        elif low >= 20_000 and high < 80_000 and named_so(name):
            dates, order = [dt.date(1899, 12, 30) + dt.timedelta(days=n) for n in numbers], "excel"
        else:
            return None
    except (ValueError, OverflowError):
        return None
    distinct = sorted(set(dates))
    steady = find_step(distinct) if len(distinct) > 2 or order == "y" else None
    return None if steady is None or (order == "y" and steady.months != 12) else (dates, order)


def hours_of(cells: Sequence[str], name: str) -> list[str] | None:
    """Return the times of the day in a column: 14:30, or whole hours from 0 or from 1 where it is called so; or None.

    >>> hours_of(["1", "2", "24"], "Hora"), hours_of(["0", "23"], "hour"), hours_of(["0", "23"], "x")
    (['0:00', '1:00', '23:00'], ['0:00', '23:00'], None)
    """
    if cells and all(map(is_time, cells)):
        return list(cells)
    if not re.match(r"(hora|hour)", name, re.IGNORECASE) or not all(c.isascii() and c.isdecimal() for c in cells):
        return None
    hours = [int(cell) for cell in cells]
    first = 0 if 0 in hours else 1
    return [f"{hour - first}:00" for hour in hours] if max(hours) - first < 24 else None


def is_time(cell: str) -> bool:
    """Whether a cell is a time of the day alone.

    >>> is_time("14:30"), is_time("2 p.m."), is_time("2021-01-01 14:30")
    (True, False, False)
    """
    return _TIME.fullmatch(cell) is not None


def named_so(name: str) -> bool:
    """Whether a column is called as columns of dates are.

    >>> named_so("Fecha"), named_so("D\u00eda de la semana"), named_so("Ventas")
    (True, True, False)
    """
    plain = "".join(mark for mark in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(mark))
    return not _NAMES.isdisjoint(re.findall("[a-z]+", plain))


def looks_like_date(cell: str) -> bool:
    """Whether a cell seems to be meant for a date, be it one that can be read or not: figures with marks, or a month.

    >>> [looks_like_date(cell) for cell in ("3\u00aa semana de mayo", "2021/01/31/5", "Enero", "A-12", "Madrid")]
    [True, True, True, False, False]
    """
    words = [word.lower()[:3] for word in re.findall(r"[^\W\d_]{3,}", cell)]
    month = any(word in _MONTHS for word in words)
    return (month and len(words) <= 4) or (len(re.findall(r"\d+", cell)) > 1 and not words)


def _evenness(dates: Sequence[dt.date]) -> float:
    """Return the part of the steps, in their own order, that are the usual one, counted in days or in months."""
    pairs = list(pairwise(dates))
    if not pairs:
        return 0.0
    in_days = Counter(b - a for a, b in pairs).most_common(1)[0][1]
    in_months = Counter((month_of(b) - month_of(a), b.day - a.day) for a, b in pairs).most_common(1)[0][1]
    return max(in_days, in_months) / len(pairs)


def _in_figures(cell: str) -> str:
    """Return a week, a quarter or a date with a month's name (English or Spanish) in ISO form; others as they are.

    >>> [_in_figures(cell) for cell in ("2020-T2", "Jan 31, 2021", "sept. 1999", "3-dic-98", "1949 Jan", "may be 12")]
    ['2020-04', '2021-01-31', '1999-09', '1998-12-3', '1949-01', 'may be 12']
    """
    quarter = _QUARTER.fullmatch(cell)
    if quarter:
        return f"{quarter['y'] or quarter['y2']}-{3 * int(quarter['q'] or quarter['q2'] or quarter['q3']) - 2:02}"
    week = _WEEK.fullmatch(cell)
    if week:
        try:
            return dt.date.fromisocalendar(int(week[1]), int(week[2]), int(week[3] or 1)).isoformat()
        except ValueError:
            return cell
    match = _YEAR_THEN_NAME.fullmatch(cell) or _NAME_THEN_YEAR.fullmatch(cell)
    month = match and _MONTHS.get(match["m"][:3].lower())
    if match is None or month is None:
        return cell
    day = match["d"] or match.groupdict().get("d2")
    return f"{_full_year(match['y'])}-{month:02}" + (f"-{day}" if day else "")


def _full_year(text: str) -> int:
    """Return the year; of two figures, 69 to 99 are in the last century and 00 to 68 in this one, as in POSIX."""
    year = int(text)
    return year if len(text) > 2 else year + (1900 if year >= 69 else 2000)


def _dotted(cells: Sequence[str]) -> bool:
    return any("." in cell.partition(" ")[0] for cell in cells[:1])


def _read(cells: Sequence[str], order: str) -> list[dt.datetime | None]:
    """Return the dates of cells whose parts come in ``order``; all with a time zone or all without one."""
    dates = [_parse(cell, order) for cell in cells]
    zoned = next((date.tzinfo is not None for date in dates if date), False)
    return [date if date and (date.tzinfo is not None) == zoned else None for date in dates]


def _parse(cell: str, order: str) -> dt.datetime | None:
    """Return the date in a cell whose parts come in ``order``, or None."""
    match = _DATE.fullmatch(cell)
    if match is None:
        return None
    parts = [part for part in (match[1], match[3], match[4]) if part is not None]
    at = dict(zip(order if len(parts) == 3 else order.replace("d", ""), parts, strict=True))
    if len(at["m"]) > 2 or len(at.get("d", "1")) > 2 or (match["mark"] == "." and len(parts) == 2):
        return None
    if len(at["y"]) != 4 and (len(at["y"]) != 2 or order == "ymd" or len(parts) == 2):
        return None
    year = _full_year(at["y"])
    day = int(at.get("d", 1))
    hour, minute, second, micro = (int(part or 0) for part in (*match.group(5, 6, 7), (match[8] or "").ljust(6, "0")))
    if match[9]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match[9][0] in "pP" else 0)
    midnight = hour == 24 and minute == second == micro == 0  # the end of the day, which is the start of the next
    try:
        date = dt.datetime(year, int(at["m"]), day, 0 if midnight else hour, minute, second, micro, _zone(match[10]))
        return date + dt.timedelta(days=1) if midnight else date
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> dt.timezone | None:
    if text is None or text.upper() in ("Z", "UTC"):
        return dt.UTC if text else None
    offset = dt.timedelta(hours=int(text[1:3]), minutes=int(text[3:].lstrip(":") or 0))
    return dt.timezone(-offset if text[0] == "-" else offset)
