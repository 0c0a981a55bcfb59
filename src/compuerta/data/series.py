"""One numeric series: its values, oldest first on a regular grid, its dates, what is missing, and how it goes on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..errors import DataError, Phrase, SettingError
from .dates import parse_dates, parse_numbers
from .seasons import estimate_period, fill
from .steps import Step, find_step

#: What to do with values that are missing.
POLICIES = ("mask", "fill", "refuse")


@dataclass(frozen=True, eq=False)
class Series:
    """A series of T values, oldest first.

    With ``dates`` and neither ``step`` nor ``date_order``, the spacing and the season are found, and the dates that are
    missing between others are put in. Values that are not known (at such a date, or masked in a masked array) hold what
    the season would have there, and are marked in ``missing``.

    Attributes:
        values: (T,) float64, all finite.
        name: the header of its column, or the file's name without suffix.
        dates: one date (or datetime, where the file gives times) per value, ascending; None without a column of dates.
        date_order: how the file writes its dates: ``"ymd"``, ``"mdy"``, ``"dmy"``, ``"ym"``, ``"my"``, ``"y"``,
            ``"yw"`` (ISO weeks) or ``"epoch"`` (seconds since 1970).
        step: the usual spacing of the dates; None without dates or where they keep to no spacing.
        period: steps in one season, if the spacing determines it (see :meth:`compuerta.data.steps.Step.period`).
        missing: (T,) bool, the values that are not known, never to be learnt from nor scored; None where all are.
        decimal: the decimal mark of the file.
        notes: what the user should know about how it was read.

    Raises:
        DataError: the dates are not as many as the values, one of them cannot be read, or comes twice.

    >>> series = Series([5.0, 7.0, 9.0], dates=["2024-01-31", "2024-02-29", "2024-04-30"])
    >>> series.values.tolist(), series.missing.tolist(), series.period
    ([5.0, 7.0, 8.0, 9.0], [False, False, True, False], 12)
    >>> [date.isoformat() for date in series.future_dates(1)]
    ['2024-05-31']
    """

    values: NDArray[np.float64]
    name: str = ""
    dates: list[dt.date] | None = None
    date_order: str | None = None
    step: Step | None = None
    period: int | None = None
    missing: NDArray[np.bool_] | None = None
    decimal: str = "."
    notes: tuple[Phrase, ...] = ()

    def __post_init__(self) -> None:
        plain = isinstance(self.values, np.ndarray) and not np.ma.isMaskedArray(self.values)
        raw = self.dates is not None and self.step is None and self.date_order is None
        if plain and not raw:
            return
        values = checks.as_array(np.ma.getdata(self.values), "Series", "values", np.dtype(np.float64))
        if values.ndim != 1:
            raise DataError("error.series_shape", got=values.shape)
        unknown = np.ma.getmaskarray(self.values) if np.ma.isMaskedArray(self.values) else np.zeros(len(values), bool)
        if self.missing is not None:
            unknown = unknown | self.missing
        checks.finite(np.where(unknown, 0.0, values), "Series", "values")
        dates, order = None, self.date_order
        if self.dates is not None:
            dates, order = dates_of(self.dates)
        series = arranged(np.where(unknown, np.nan, values), dates, name=self.name, date_order=order)
        for name in ("values", "dates", "date_order", "step", "period", "missing"):
            override = getattr(self, name) if name == "period" else None
            object.__setattr__(self, name, override if override is not None else getattr(series, name))
        object.__setattr__(self, "notes", self.notes + series.notes)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def values_with_nan(self) -> NDArray[np.float64]:
        """The values (T,), NaN where they are missing."""
        return self.values if self.missing is None else np.where(self.missing, np.nan, self.values)

    def future_dates(self, h: int) -> list[dt.date]:
        """Return the ``h`` dates after the last one; none where there is no spacing to go on with.

        They end with the year 9999, the last that there are dates of.

        >>> dates = [dt.date(2023, 11, 30), dt.date(2023, 12, 31)]
        >>> series = Series(np.zeros(2), "x", dates, step=Step(months=1))
        >>> [date.isoformat() for date in series.future_dates(2)]
        ['2024-01-31', '2024-02-29']
        """
        if self.dates is None or self.step is None:
            return []
        day = max(date.day for date in self.dates)
        dates: list[dt.date] = []
        for k in range(1, h + 1):
            try:
                dates.append(self.step.after(self.dates[-1], k, day))
            except (ValueError, OverflowError):
                break
        return dates

    def until(self, n: int) -> Series:
        """Return the first ``n`` values, with all that is known of them."""
        dates = None if self.dates is None else self.dates[:n]
        if self.missing is None:
            return replace(self, values=self.values[:n], dates=dates)
        # What was filled may know of what comes after.
        return replace(self, values=_filled(self.values_with_nan[:n], self.step), dates=dates, missing=self.missing[:n])

    def to_json(self) -> dict[str, Any]:
        """Return all but the values as plain JSON values, for a model file."""
        return {
            "name": self.name,
            "dates": None if self.dates is None else [date.isoformat() for date in self.dates],
            "times": self.dates is not None and isinstance(self.dates[0], dt.datetime),
            "date_order": self.date_order,
            "step": None if self.step is None else asdict(self.step),
            "period": self.period,
            "missing": None if self.missing is None else np.flatnonzero(self.missing).tolist(),
            "decimal": self.decimal,
        }

    @classmethod
    def from_json(cls, values: NDArray[np.float64], content: dict[str, Any]) -> Series:
        """Return the series of :meth:`to_json` with its values."""
        kind = dt.datetime if content["times"] else dt.date
        dates = None if content["dates"] is None else [kind.fromisoformat(text) for text in content["dates"]]
        step = None
        if content["step"] is not None:
            days = content["step"]["weekdays"]
            days = (0, 1, 2, 3, 4) if days is True else tuple(days or ())  # a flag in the files of 0.1
            step = Step(**{**content["step"], "weekdays": days})
        missing = None
        if content.get("missing"):
            missing = np.zeros(len(values), bool)
            missing[content["missing"]] = True
        return cls(values, content["name"], dates, content["date_order"], step, content["period"], missing,
                   content.get("decimal", "."))  # fmt: skip

    def label(self, date: dt.date) -> str:
        """Return a date in ISO form, as exact as the file has it: a day, a week, a month, a year or a moment.

        >>> Series(np.zeros(1), "x", date_order="ym").label(dt.date(1949, 1, 1))
        '1949-01'
        """
        text = date.isoformat()
        if self.date_order == "yw":
            week = date.isocalendar()
            return f"{week.year}-W{week.week:02}"
        return text[:4] if self.date_order == "y" else text[:7] if self.date_order in ("ym", "my") else text


def dates_of(dates: Sequence[Any]) -> tuple[list[dt.date], str]:
    """Return dates of Python, NumPy, pandas or in words as dates, or date-times, of Python, and their order.

    Raises:
        DataError: one of them cannot be read.

    >>> dates_of(np.array(["2024-01", "2024-02"], "datetime64[M]"))
    ([datetime.date(2024, 1, 1), datetime.date(2024, 2, 1)], 'ym')
    """
    if all(type(date) is dt.date or type(date) is dt.datetime for date in dates):
        times = any(isinstance(date, dt.datetime) for date in dates)
        zones = {date.tzinfo is None for date in dates if isinstance(date, dt.datetime)}
        if not times or (len(zones) == 1 and all(isinstance(date, dt.datetime) for date in dates)):
            return list(dates), "ymd"
    cells = [str(date).split("/")[0] if "/" in str(date) and str(date)[4:5] == "-" else str(date) for date in dates]
    parsed = parse_numbers(cells) if all(cell.isdecimal() for cell in cells) else parse_dates(cells)
    if parsed is None:
        raise DataError("error.series.date", got=repr(cells[0]), place=0)
    if isinstance(parsed, int):
        raise DataError("error.series.date", got=repr(cells[parsed]), place=parsed)
    return parsed


def arranged(
    values: NDArray[np.float64],
    dates: list[dt.date] | None,
    *,
    name: str = "",
    date_order: str | None = None,
    places: Sequence[int] | None = None,
    missing: str = "mask",
) -> Series:
    """Return a series from values with NaN where they are not known: sorted, on a regular grid, filled.

    Args:
        values: (T,).
        dates: one for each, in any order.
        name, date_order: of the series.
        places: of the values on the grid, where there are no dates but a counter with gaps.
        missing: ``"mask"`` marks what is not known, ``"fill"`` takes what was filled for known, ``"refuse"`` raises.

    Raises:
        DataError: a date comes twice, more is missing than there is, or something is and was to be refused.
    """
    if missing not in POLICIES:
        raise SettingError("error.choice", name="missing", known=", ".join(POLICIES), got=repr(missing))
    notes: list[Phrase] = []
    if dates is not None:
        if len(dates) != len(values):
            raise DataError("error.series.lengths", values=len(values), dates=len(dates))
        order = sorted(range(len(dates)), key=dates.__getitem__)
        if order != list(range(len(dates))) and order != list(range(len(dates)))[::-1]:
            notes.append(Phrase("input.sorted"))
        dates, values = [dates[k] for k in order], values[order]
        twice = next((a for a, b in pairwise(dates) if a == b), None)
        if twice is not None:
            raise DataError("error.series.twice", date=twice.isoformat())
    present = np.flatnonzero(~np.isnan(values))
    if len(present) < 2:
        raise DataError("error.series.too_few", got=len(present))
    first, last = int(present[0]), int(present[-1]) + 1
    if last - first < len(values):  # before the first value and after the last there is no series yet, or no longer
        notes.append(Phrase("input.trimmed", before=first, after=len(values) - last))
        values = values[first:last]
        dates = dates[first:last] if dates is not None else None
        places = places[first:last] if places is not None else None
    step = find_step(dates) if dates is not None else None
    if dates is not None and step is not None:
        places = [round(step.between(dates[0], date)) for date in dates]
    if dates is not None and (step is None or len(set(places or ())) < len(values)):
        if len(values) > 2:
            notes.append(Phrase("input.irregular"))
        step, places = None, None
    label = Series(values, name, None, date_order).label
    if places is not None:
        values, dates = _on_grid(values, dates, places, step)
    period = step.period(len(values)) if step else None
    unknown = np.isnan(values)
    if not unknown.any():
        return Series(values, name, dates, date_order, step, period, None, notes=tuple(notes))
    where = _runs(unknown, [label(date) for date in dates] if dates is not None else None)
    if missing == "refuse":
        raise DataError("error.series.missing", count=int(unknown.sum()), n=len(values), where=where)
    filled = _filled(values, step)
    key = "input.masked" if missing == "mask" else "input.filled"
    notes.append(Phrase(key, count=int(unknown.sum()), n=len(values), where=where))
    mask = unknown if missing == "mask" else None
    return Series(filled, name, dates, date_order, step, period, mask, notes=tuple(notes))


def _filled(values: NDArray[np.float64], step: Step | None) -> NDArray[np.float64]:
    """Return values with those that are NaN as the season would have them; positive where all that is known is."""
    unknown = np.isnan(values)
    # Of days the season is the week, for what is missing is seldom a year; without dates, it is looked for.
    filled = fill(values, unknown, step.period(0) if step else None)
    if step is None:
        filled = fill(values, unknown, estimate_period(filled))
    least = values[~unknown].min()
    return np.maximum(filled, least) if least > 0 else filled


def _on_grid(
    values: NDArray[np.float64], dates: list[dt.date] | None, places: Sequence[int], step: Step | None
) -> tuple[NDArray[np.float64], list[dt.date] | None]:
    """Return the values at their places, NaN in between, and the dates that were missing."""
    n, first = max(places) - min(places) + 1, min(places)
    if n == len(values):
        return values, dates
    if n > 2 * len(values) + 8:
        raise DataError("error.series.mostly_missing", got=len(values), n=n)
    grid = np.full(n, np.nan)
    at = [place - first for place in places]
    grid[at] = values
    if dates is None or step is None:
        return grid, None
    day = max(date.day for date in dates)
    there = dict(zip(at, dates, strict=True))
    return grid, [there[k] if k in there else step.after(dates[0], k, day) for k in range(n)]


def _runs(unknown: NDArray[np.bool_], labels: Sequence[str] | None, most: int = 3) -> Any:
    """Return where values are missing, for a sentence: the first three runs."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], unknown, [False]))))
    runs = [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]
    names = labels if labels is not None else [str(k) for k in range(len(unknown))]
    text = ", ".join(names[a] if a == b else f"{names[a]} – {names[b]}" for a, b in runs[:most])
    return text if len(runs) <= most else Phrase("word.and_more", first=text, count=len(runs) - most)
