"""Series out of what people hold them in: arrays, masked arrays, series and tables of pandas and polars.

Those packages are not imported: an object is recognised by its methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..errors import DataError
from .series import Series, arranged, dates_of


def as_series(data: Any, dates: Any = None) -> Series:
    """Return ``data`` as a series; a :class:`Series` as it is.

    Of pandas and polars the name and the index are kept: dates, or whole numbers, by which the values are sorted; NaN
    is a missing value there, as the masked ones of a masked array are. In a table the one column of numbers counts,
    and the one of dates beside it. In a plain array NaN is refused.

    Args:
        data: (n,) or (n, 1) numbers, oldest first; or an object of the kinds above.
        dates: a date, or a whole number that counts the steps, for each value.

    Raises:
        DataError, ShapeError, DTypeError, NonFiniteError: it is no series.

    >>> as_series(np.ma.masked_equal([1.0, 2.0, -9.0, 4.0], -9.0)).values.tolist()
    [1.0, 2.0, 3.0, 4.0]
    >>> as_series([7.0, 5.0], dates=["2024-01-02", "2024-01-01"]).values.tolist()
    [5.0, 7.0]
    """
    if isinstance(data, Series):
        return data
    name = ""
    if hasattr(data, "columns") and hasattr(data, "__getitem__") and not isinstance(data, np.ndarray):
        data, dates = _column(data, dates)
    framed = hasattr(data, "name") and hasattr(data, "__array__")
    if framed:
        name = "" if data.name is None else str(data.name)
        if dates is None and hasattr(data, "index") and not callable(data.index):
            dates = data.index
    masked = np.ma.isMaskedArray(data)
    mask = np.ma.getmaskarray(data) if masked else None
    values = checks.as_array(np.ma.getdata(data) if masked else data, "Forecaster", "series", np.dtype(np.float64))
    if values.ndim == 2 and values.shape[1] == 1:
        values, mask = values[:, 0], None if mask is None else mask[:, 0]
    if values.ndim != 1:
        raise DataError("error.series_shape", got=values.shape)
    unknown = np.zeros(len(values), bool) if mask is None else mask
    if framed:
        unknown = unknown | np.isnan(values)
    checks.finite(np.where(unknown, 0.0, values), "Forecaster", "series")
    if dates is None and not unknown.any():
        return Series(values, name)
    values = np.where(unknown, np.nan, values)
    if dates is None:
        return arranged(values, None, name=name)
    dates = np.asarray(dates)[:, 0] if np.ndim(dates) == 2 and np.shape(dates)[1] == 1 else dates
    if len(dates) != len(values):
        raise DataError("error.series.lengths", values=len(values), dates=len(dates))
    return _indexed(values, dates, name)


def _indexed(values: NDArray[np.float64], index: Any, name: str) -> Series:
    """Return the series of an index of dates, or of numbers that count the steps, in whatever order."""
    kind = np.asarray(index).dtype.kind
    if kind in "iuf":
        numbers = np.asarray(index, np.float64)
        order = np.argsort(numbers, kind="stable")
        steps = np.diff(numbers[order])
        if (steps <= 0).any():
            raise DataError("error.series.twice", date=f"{numbers[order][1:][steps <= 0][0]:g}")
        usual = float(np.median(steps)) if len(steps) else 1.0
        places = (numbers[order] - numbers[order][0]) / usual
        if not np.allclose(places, places.round(), atol=1e-3):
            raise DataError("error.series.index", got=f"{steps.min():g}", usual=f"{usual:g}")
        return arranged(values[order], None, name=name, places=[round(place) for place in places])
    dates, date_order = dates_of(list(index))
    return arranged(values, dates, name=name, date_order=date_order)


def _column(table: Any, dates: Any) -> tuple[Any, Any]:
    """Return the only column of numbers of a table, and its time axis: its column of dates, or its index."""
    names: Sequence[Any] = list(table.columns)
    kinds = {name: np.asarray(table[name]).dtype.kind for name in names}
    numbers = [name for name in names if kinds[name] in "iuf"]
    if len(numbers) != 1:
        columns = ", ".join(repr(name) for name in (numbers or names)[:8])
        raise DataError("error.series.columns", got=len(numbers), columns=columns)
    when = [name for name in names if kinds[name] == "M"]
    return table[numbers[0]], list(table[when[0]]) if when and dates is None else dates
