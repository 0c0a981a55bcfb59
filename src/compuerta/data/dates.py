"""Dates as people write them: read a whole column at once, find its spacing, carry it on into the future."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_QUARTER = re.compile(r"(\d{4})[-/ ]?[qt]([1-4])", re.IGNORECASE)
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
    r"(?:[Tt ]\s*(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d*)?)?\s*(Z|[+-]\d\d:?\d\d)?)?"
)

_ORDERS = ("ymd", "mdy", "dmy")
_DAY = 86_400.0
_WEEK = 7 * _DAY
_TWO_YEARS = 730


@dataclass(frozen=True)
class Step:
    """The spacing of dates: a number of months, or of seconds, or one day from Monday to Friday.

    >>> Step(months=1).after(dt.date(2023, 12, 31), 2, day=31)
    datetime.date(2024, 2, 29)
    >>> Step(weekdays=True).after(dt.date(2024, 3, 1), 1).isoformat()
    '2024-03-04'
    """

    months: int = 0
    seconds: float = 0.0
    weekdays: bool = False

    def after(self, date: dt.date, k: int, day: int | None = None) -> dt.date:
        """Return the date ``k`` steps after ``date``; in months, on ``day`` or the last day that the month has."""
        if self.months:
            year, month = divmod(date.year * 12 + date.month - 1 + k * self.months, 12)
            last = calendar.monthrange(year, month + 1)[1]
            return date.replace(year=year, month=month + 1, day=min(day or date.day, last))
        if self.weekdays:
            weeks, weekday = divmod(date.weekday() + k, 5)
            return date + dt.timedelta(days=7 * weeks + weekday - date.weekday())
        return date + dt.timedelta(seconds=k * self.seconds)

    def between(self, a: dt.date, b: dt.date) -> float:
        """Return how many steps lie from ``a`` to ``b``.

        >>> Step(months=3).between(dt.date(2020, 1, 1), dt.date(2021, 1, 1))
        4.0
        """
        if self.months:
            return ((b.year - a.year) * 12 + b.month - a.month) / self.months
        if self.weekdays:
            days = (b - a).days
            return (days + a.weekday() - b.weekday()) / 7 * 5 + b.weekday() - a.weekday()
        return (b - a).total_seconds() / self.seconds

    def period(self, n: int) -> int | None:
        """Return the seasonal period of ``n`` values so spaced, or None if no cycle is the natural one.

        Months, quarters and weeks have the year (12, 4, 52), hours and minutes the day (24, 48 half-hours ...), years
        nothing (1). Days have the year (365) once there are two of them, else the week (7; 5 from Monday to Friday).

        >>> Step(months=3).period(40), Step(seconds=86_400).period(3650), Step(seconds=1800).period(100)
        (4, 365, 48)
        """
        if self.months:
            return 12 // self.months if 12 % self.months == 0 else 1 if self.months % 12 == 0 else None
        if self.weekdays:
            return 5
        if self.seconds == _DAY:
            return 365 if n >= _TWO_YEARS else 7
        if self.seconds % _WEEK == 0 and self.seconds <= 4 * _WEEK:
            return round(365.25 * _DAY / self.seconds)
        return int(_DAY / self.seconds) if 60 <= self.seconds < _DAY and _DAY % self.seconds == 0 else None


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
        year, month and day (``"ymd"``, ``"mdy"``, ``"dmy"``, ``"ym"``, ``"my"``); or the index of the first cell that
        is no date in the order that suits the most cells.

    >>> parse_dates(["12/30/1990", "12/31/1990"])
    ([datetime.date(1990, 12, 30), datetime.date(1990, 12, 31)], 'mdy')
    >>> parse_dates(["1/2/2021", "31/2/2021"])
    1
    """
    cells = [_in_figures(cell) for cell in cells]
    orders = sorted(_ORDERS, key=("mdy" if day_first or _dotted(cells) else "dmy").__eq__)  # the less likely goes last
    readings = [(order, _read(cells, order)) for order in orders]
    complete = [(order, [date for date in dates if date]) for order, dates in readings if None not in dates]
    if not complete:
        nearest = min((dates for _, dates in readings), key=lambda dates: dates.count(None))
        return nearest.index(None)
    order, dates = max(complete, key=lambda reading: _evenness(reading[1]))
    with_day = any(found[4] for found in map(_DATE.fullmatch, cells) if found)
    timed = any(date.time() != dt.time() or date.tzinfo for date in dates)
    return [date if timed else date.date() for date in dates], order if with_day else order.replace("d", "")


def find_step(dates: Sequence[dt.date]) -> Step | None:
    """Return the spacing of sorted dates, or None if fewer than half of them keep to one.

    >>> find_step([dt.date(2021, 1, 31), dt.date(2021, 2, 28), dt.date(2021, 3, 31)])
    Step(months=1, seconds=0.0, weekdays=False)
    """
    if len(dates) < 2:
        return None
    gaps = [(b - a).total_seconds() for a, b in pairwise(dates)]
    usual, count = Counter(gaps).most_common(1)[0]
    days = sorted(gaps)[len(gaps) // 2] / _DAY
    if days >= 28:
        months, same = Counter(_month(b) - _month(a) for a, b in pairwise(dates)).most_common(1)[0]
        on_same_day = len({min(date.day, 28) for date in dates}) == 1
        if (
            months
            and same * 2 >= len(gaps)
            and (on_same_day or (count < len(gaps) and abs(days - months * 30.44) < 2.5))
        ):
            return Step(months=months)
    if usual == 0 or count * 2 < len(gaps):
        return None
    if usual == _DAY and len(dates) > 5 and all(date.weekday() < 5 for date in dates):
        return Step(weekdays=True)
    return Step(seconds=usual)


def _month(date: dt.date) -> int:
    return date.year * 12 + date.month


def _evenness(dates: Sequence[dt.date]) -> float:
    """Return the part of the steps, in their own order, that are the usual one, counted in days or in months."""
    pairs = list(pairwise(dates))
    if not pairs:
        return 0.0
    in_days = Counter(b - a for a, b in pairs).most_common(1)[0][1]
    in_months = Counter((_month(b) - _month(a), b.day - a.day) for a, b in pairs).most_common(1)[0][1]
    return max(in_days, in_months) / len(pairs)


def _in_figures(cell: str) -> str:
    """Return a quarter or a date with the name of its month (in English or Spanish) in ISO form; others as they are.

    >>> [_in_figures(cell) for cell in ("2020-T2", "Jan 31, 2021", "sept. 1999", "3-dic-98", "1949 Jan", "may be 12")]
    ['2020-04', '2021-01-31', '1999-09', '1998-12-3', '1949-01', 'may be 12']
    """
    quarter = _QUARTER.fullmatch(cell)
    if quarter:
        return f"{quarter[1]}-{3 * int(quarter[2]) - 2:02}"
    found = _YEAR_THEN_NAME.fullmatch(cell) or _NAME_THEN_YEAR.fullmatch(cell)
    month = found and _MONTHS.get(found["m"][:3].lower())
    if found is None or month is None:
        return cell
    day = found["d"] or found.groupdict().get("d2")
    return f"{_full_year(found['y'])}-{month:02}" + (f"-{day}" if day else "")


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
    found = _DATE.fullmatch(cell)
    if found is None:
        return None
    parts = [part for part in (found[1], found[3], found[4]) if part is not None]
    at = dict(zip(order if len(parts) == 3 else order.replace("d", ""), parts, strict=True))
    if len(at["m"]) > 2 or len(at.get("d", "1")) > 2 or (found["mark"] == "." and len(parts) == 2):
        return None
    if len(at["y"]) != 4 and (len(at["y"]) != 2 or order == "ymd" or len(parts) == 2):
        return None
    year = _full_year(at["y"])
    day = int(at.get("d", 1))
    hour, minute, second, micro = (int(part or 0) for part in (*found.group(5, 6, 7), (found[8] or "").ljust(6, "0")))
    try:
        return dt.datetime(year, int(at["m"]), day, hour, minute, second, micro, _zone(found[9]))
    except ValueError:
        return None


def _zone(text: str | None) -> dt.timezone | None:
    if text is None or text == "Z":
        return dt.UTC if text else None
    offset = dt.timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return dt.timezone(-offset if text[0] == "-" else offset)
