"""The spacing of dates: found in a column of them, counted between two, carried on into the future."""

from __future__ import annotations

import calendar
import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_DAY = 86_400.0
_WEEK = 7 * _DAY
_TWO_YEARS = 730


@dataclass(frozen=True)
class Step:
    """The spacing of dates: a number of months, or of seconds, or from one to the next of some days of the week.

    ``weekdays`` are those days, counted from Monday as 0: ``(0, 1, 2, 3, 4)`` from Monday to Friday.

    >>> Step(months=1).after(dt.date(2023, 12, 31), 2, day=31)
    datetime.date(2024, 2, 29)
    >>> Step(weekdays=(0, 1, 2, 3, 4)).after(dt.date(2024, 3, 1), 1).isoformat()
    '2024-03-04'
    """

    months: int = 0
    seconds: float = 0.0
    weekdays: tuple[int, ...] = ()

    def after(self, date: dt.date, k: int, day: int | None = None) -> dt.date:
        """Return the date ``k`` steps after ``date``; in months, on ``day`` or the last day that the month has."""
        if self.months:
            year, month = divmod(date.year * 12 + date.month - 1 + k * self.months, 12)
            last = calendar.monthrange(year, month + 1)[1]
            return date.replace(year=year, month=month + 1, day=min(day or date.day, last))
        if self.weekdays:
            weeks, place = divmod(self._place(date) + k, len(self.weekdays))
            return date + dt.timedelta(days=7 * weeks + self.weekdays[place] - date.weekday())
        return date + dt.timedelta(seconds=k * self.seconds)

    def between(self, a: dt.date, b: dt.date) -> float:
        """Return how many steps lie from ``a`` to ``b``.

        >>> Step(months=3).between(dt.date(2020, 1, 1), dt.date(2021, 1, 1))
        4.0
        """
        if self.months:
            return ((b.year - a.year) * 12 + b.month - a.month) / self.months
        if self.weekdays:
            weeks = ((b - a).days + a.weekday() - b.weekday()) // 7
            return weeks * len(self.weekdays) + self._place(b) - self._place(a)
        return (b - a).total_seconds() / self.seconds

    def _place(self, date: dt.date) -> int:
        """Return the place of a date among the days of the week that count; of another day, that of the one before."""
        return sum(day <= date.weekday() for day in self.weekdays) - 1

    def period(self, n: int) -> int | None:
        """Return the seasonal period of ``n`` values so spaced, or None if no cycle is the natural one.

        Months, quarters and weeks have the year (12, 4, 52), hours and minutes the day (24, 48 half-hours ...), years
        nothing (1). Days have the year (365) once there are two of them, else the week (7, or as many as it has).

        >>> Step(months=3).period(40), Step(seconds=86_400).period(3650), Step(seconds=1800).period(100)
        (4, 365, 48)
        """
        if self.months:
            return 12 // self.months if 12 % self.months == 0 else 1 if self.months % 12 == 0 else None
        if self.weekdays:
            return len(self.weekdays)
        if self.seconds == _DAY:
            return 365 if n >= _TWO_YEARS else 7
        if self.seconds % _WEEK == 0 and self.seconds <= 4 * _WEEK:
            return round(365.25 * _DAY / self.seconds)
        return int(_DAY / self.seconds) if 60 <= self.seconds < _DAY and _DAY % self.seconds == 0 else None


def find_step(dates: Sequence[dt.date]) -> Step | None:
    """Return the spacing of sorted dates, or None if fewer than half of them keep to one.

    >>> find_step([dt.date(2021, 1, 31), dt.date(2021, 2, 28), dt.date(2021, 3, 31)])
    Step(months=1, seconds=0.0, weekdays=())
    """
    if len(dates) < 2:
        return None
    gaps = [(b - a).total_seconds() for a, b in pairwise(dates)]
    usual, count = Counter(gaps).most_common(1)[0]
    days = sorted(gaps)[len(gaps) // 2] / _DAY
    if days >= 28:
        months, same = Counter(month_of(b) - month_of(a) for a, b in pairwise(dates)).most_common(1)[0]
        on_same_day = len({min(date.day, 28) for date in dates}) == 1
        if (
            months
            and same * 2 >= len(gaps)
            and (on_same_day or (count < len(gaps) and abs(days - months * 30.44) < 2.5))
        ):
            return Step(months=months)
    if usual in (_DAY, 2 * _DAY, 3 * _DAY) and len(dates) > 5:  # every day but Sundays; Mondays and Thursdays
        there = tuple(sorted({date.weekday() for date in dates}))
        weeks = (dates[-1] - dates[0]).days / 7
        if len(there) < 7 and (there == (0, 1, 2, 3, 4) or (weeks >= 3 and len(dates) > 0.6 * weeks * len(there))):
            return Step(weekdays=there)
    return None if usual == 0 or count * 2 < len(gaps) else Step(seconds=usual)


def month_of(date: dt.date) -> int:
    """Return the months since the year 0."""
    return date.year * 12 + date.month
