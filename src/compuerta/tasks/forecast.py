"""The results of a forecaster: a forecast, a backtest, and how both are reported and drawn."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data import Series
from ..errors import Phrase
from .answers import Column, Drawing, Figures
from .base import Array


@dataclass(frozen=True, eq=False)
class Forecast:
    """A forecast over h steps.

    Attributes:
        mean: (h,), in the units of the series.
        lower, upper: for each level in percent, the bounds (h,).
        seasonal_naive: (h,), the forecast that repeats the last season, for comparison.
        dates: h dates; none if the series had none, fewer than h where the calendar ends.
        period: the season that is repeated for comparison; 1 where there is none.
    """

    mean: Array
    lower: dict[float, Array]
    upper: dict[float, Array]
    seasonal_naive: Array
    dates: list[dt.date] = field(default_factory=list)
    period: int = 1

    def __repr__(self) -> str:
        """One line: how far, when, the means from the first to the last, the levels, the season."""
        when = f", dates={self.dates[0].isoformat()}..{self.dates[-1].isoformat()}" if self.dates else ""
        mean = np.array2string(self.mean, precision=4, threshold=6, edgeitems=2, separator=", ")
        levels = ", ".join(f"{level:g}" for level in sorted(self.lower))
        return f"Forecast(h={len(self.mean)}{when}, mean={mean}, levels=[{levels}], period={self.period})"


@dataclass(frozen=True)
class Backtest:
    """How well a forecaster did on parts of the series that it had not seen.

    Attributes:
        origins: how many forecasts were made, each over ``horizon`` steps.
        mae, mase: of the LSTM; MASE is in units of the seasonal naive error inside the training part.
        naive_mae, naive_mase: the same for the seasonal naive forecast.
    """

    origins: int
    horizon: int
    period: int
    mae: float
    mase: float
    naive_mae: float
    naive_mase: float

    @property
    def wins(self) -> bool:
        """Whether the LSTM was better than the seasonal naive forecast."""
        return self.mase < self.naive_mase


def draw_forecast(series: Series, forecast: Forecast) -> Drawing:
    """Return the picture of a series and its forecast."""
    labels = None
    if series.dates is not None and len(forecast.dates) == len(forecast.mean):
        labels = [series.label(date) for date in (*series.dates, *forecast.dates)]
    return Drawing(
        "forecast",
        {"past": series.values, "mean": forecast.mean, "lower": forecast.lower, "upper": forecast.upper,
         "naive": forecast.seasonal_naive, "labels": labels, "name": series.name},
    )  # fmt: skip


def backtest_lines(report: Mapping[str, Any]) -> list[Phrase | Figures]:
    """Return the errors of the backtest beside those of the seasonal naive forecast; if that wins, a sentence on it."""
    test = report["backtest"]
    if test is None:
        if not report["origins"]:
            return [Phrase("cli.report.not_asked")]
        most = report.get("measurable", 0)
        return [Phrase("cli.report.too_far" if most else "cli.report.no_backtest", n=report["n"], most=most)]
    seasonal = test["period"] > 1
    rows = [
        (Phrase("cli.report.lstm"), (test["mae"], test["mase"])),
        (Phrase("cli.report.seasonal_naive" if seasonal else "cli.report.naive"),
         (test["naive_mae"], test["naive_mase"])),
    ]  # fmt: skip
    lines: list[Phrase | Figures] = [
        Phrase("cli.report.backtest", origins=test["origins"], horizon=test["horizon"]),
        Phrase("cli.report.season", period=test["period"]) if seasonal else Phrase("cli.report.no_season"),
        Figures([Column("MAE", 12), Column("MASE", 8, 2)], rows),
        Phrase("cli.report.mase"),
    ]
    return lines if Backtest(**test).wins else [*lines, Phrase("cli.report.naive_wins")]
