"""Values that are missing: filled as the season has them, and never learnt from nor scored."""

import datetime as dt

import numpy as np
import pytest

from compuerta import Forecaster
from compuerta.data import Series, as_series, read_series, seasonal_series
from compuerta.data.seasons import fill
from compuerta.data.steps import Step
from compuerta.errors import CompuertaError, DataError
from compuerta.tasks import forecaster

QUICK = {"hidden_size": 4, "members": 1, "max_epochs": 3}


def monthly(n, start=2010):
    return [dt.date(start + k // 12, k % 12 + 1, 1) for k in range(n)]


@pytest.mark.parametrize("period", [1, 2, 7, 12])
@pytest.mark.parametrize("hole", [(0, 3), (20, 25), (37, 40), (10, 35)])
def test_a_season_on_a_line_is_filled_exactly(period, hole, rng):
    z = 0.5 * np.arange(80) + rng.standard_normal(period)[np.arange(80) % period]
    missing = np.zeros(80, bool)
    missing[hole[0] : hole[1]] = True
    if period == 1 and hole[0] == 0:
        return  # nothing comes before: the nearest value is all that is known
    np.testing.assert_allclose(fill(np.where(missing, np.nan, z), missing, period), z, atol=1e-9)


def test_a_gap_of_twelve_hours_does_not_shift_the_season(tmp_path):
    hours = [dt.datetime(2021, 1, 1) + dt.timedelta(hours=k) for k in range(24 * 30)]
    z = 100 + 50 * np.sin(2 * np.pi * np.arange(len(hours) + 24) / 24)
    rows = [f"{hour},{v:.6f}" for k, (hour, v) in enumerate(zip(hours, z, strict=False)) if not 700 <= k < 712]
    (tmp_path / "a.csv").write_text("t,x\n" + "\n".join(rows))
    series = read_series(tmp_path / "a.csv")
    assert np.flatnonzero(series.missing).tolist() == list(range(700, 712))
    assert series.dates == hours
    settings = {"hidden_size": 8, "members": 1, "max_epochs": 30}
    forecast = Forecaster(24, origins=0, **settings).fit(series).predict()
    assert np.abs(forecast.mean - z[-24:]).max() < 2


def test_what_is_missing_is_neither_learnt_nor_scored():
    """Whatever stands where a value is missing, the model and its measure are the same, bit for bit."""
    z = seasonal_series(96, 12, 0)
    missing = np.zeros(96, bool)
    missing[[30, 31, 50, 90]] = True
    figures = []
    for wrong in (1.0, 1e6):
        series = Series(np.ma.array(np.where(missing, wrong, z), mask=missing), dates=monthly(96))
        model = Forecaster(6, origins=2, **QUICK).fit(series)
        figures.append((model.predict().mean.tolist(), model.report_["backtest"]))
        assert np.isfinite(model.errors_).all()
    assert figures[0] == figures[1]


def test_targets_that_are_missing_have_no_gradient(rng):
    y, target = rng.standard_normal((2, 5, 1, 3))
    holes = rng.random(target.shape) < 0.3
    value, gradient = forecaster._known_error(y, np.where(holes, np.nan, target))
    assert value == pytest.approx(np.abs(y - target)[~holes].mean())
    np.testing.assert_allclose(gradient, np.where(holes, 0, np.sign(y - target)) / (~holes).sum())


def test_the_past_knows_nothing_of_what_comes_after():
    z = np.arange(40.0)
    missing = np.zeros(40, bool)
    missing[18:24] = True
    for jump in (0, 1000):
        later = z + np.where(np.arange(40) >= 24, jump, 0)
        series = Series(np.ma.array(later, mask=missing), dates=monthly(40))
        cut = series.until(20)
        if jump == 0:
            first = cut.values
    np.testing.assert_array_equal(cut.values, first)


def test_a_file_keeps_what_is_missing(tmp_path):
    series = Series(np.ma.array(seasonal_series(60, 12, 0), mask=np.arange(60) == 30), dates=monthly(60))
    again = Series.from_json(series.values, series.to_json())
    assert np.flatnonzero(again.missing).tolist() == [30]
    assert again.step == Step(months=1)
    old = series.to_json() | {"step": {"months": 0, "seconds": 0.0, "weekdays": True}}
    del old["missing"], old["decimal"]
    assert Series.from_json(series.values, old).step == Step(weekdays=(0, 1, 2, 3, 4))


# ---- what people hold series in -------------------------------------------------------------------------------------


class Frame:
    """What as_series needs of a series of pandas: values, an index, a name."""

    def __init__(self, values, index, name):
        self.values, self.index, self.name = np.asarray(values), index, name

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)

    def __len__(self):
        return len(self.values)


def test_an_index_of_dates_gives_step_season_and_future():
    index = list(np.array(["2024-01", "2024-03", "2024-02"], "datetime64[M]"))
    series = as_series(Frame([1.0, 9.0, 5.0], index, "ventas"))
    assert series.values.tolist() == [1, 5, 9]
    assert (series.name, series.period, series.step) == ("ventas", 12, Step(months=1))
    assert [series.label(date) for date in series.future_dates(2)] == ["2024-04", "2024-05"]


def test_a_shuffled_index_is_sorted_and_its_holes_are_missing():
    series = as_series(Frame([4.0, 1.0, 3.0, np.nan, 6.0], [3, 0, 2, 4, 5], None))
    assert np.flatnonzero(series.missing).tolist() == [1, 4]
    assert series.values[[0, 2, 3, 5]].tolist() == [1, 3, 4, 6]
    with pytest.raises(DataError, match="steady"):
        as_series(Frame([4.0, 1.0, 3.0], [0, 1, 2.5], None))
    with pytest.raises(DataError, match="twice"):
        as_series(Frame([4.0, 1.0, 3.0], [0, 1, 1], None))


def test_fit_takes_dates_and_values():
    z = seasonal_series(60, 12, 0)
    dates = monthly(60)
    model = Forecaster(3, origins=0, **QUICK).fit(np.arange(60)[:, None], z)
    np.testing.assert_array_equal(model.series_.values, z)
    turned = Forecaster(3, origins=0, **QUICK).fit(dates[::-1], z[::-1])
    np.testing.assert_array_equal(turned.series_.values, z)
    assert turned.predict().dates == [dt.date(2015, 1, 1), dt.date(2015, 2, 1), dt.date(2015, 3, 1)]
    with pytest.raises(CompuertaError, match="60 values and 59 dates"):
        Forecaster(3).fit(dates[:-1], z)


# ---- horizons -------------------------------------------------------------------------------------------------------


def test_a_horizon_that_nobody_chose_leaves_something_to_measure():
    weekly = [dt.date(2019, 1, 7) + dt.timedelta(days=7 * k) for k in range(208)]
    model = Forecaster(**QUICK, origins=1)
    period, horizon, origins = model._sizes(Series(seasonal_series(208, 52, 0), dates=weekly))
    assert (period, horizon, origins) == (52, 26, 1)
    for n in range(11, 400):
        _, horizon, _ = model._sizes(Series(np.arange(float(n)), "x", None, None, None, 12))
        assert 1 <= horizon <= 12
        assert 3 * horizon + 8 <= n


def test_dates_end_and_numbers_go_on():
    series = Series(seasonal_series(60, 12, 0), dates=monthly(60, 9994))
    made = Forecaster(6, origins=0, **QUICK).fit(series).predict(30, 80)
    assert len(made.mean) == 30
    assert (len(made.dates), made.dates[-1]) == (12, dt.date(9999, 12, 1))
