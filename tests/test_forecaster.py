"""Forecaster: windows that cannot see ahead, honest figures beside the seasonal naive forecast, intervals, files."""

import datetime as dt
import math
import re

import numpy as np
import pytest

import compuerta
from compuerta.data import Series, seasonal_series
from compuerta.data.steps import Step
from compuerta.errors import CompuertaError, DataError, NotFittedError, SettingError
from compuerta.layers import Layer
from compuerta.tasks import Forecast, Forecaster, forecaster
from compuerta.tasks.windows import CHANNELS, View, estimate_period, naive, seasonal_naive, seasonal_scale

QUICK = {"hidden_size": 6, "members": 1, "max_epochs": 12}


def growing(n, seed=0):
    """A season of 12 that grows with its trend, as sales do, with a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(n)
    return (50 + 2.0 * t) * (1 + 0.3 * np.sin(2 * np.pi * t / 12)) * np.exp(0.01 * rng.standard_normal(n))


def monthly(values):
    dates = [dt.date(2010 + k // 12, k % 12 + 1, 1) for k in range(len(values))]
    return Series(np.asarray(values, float), "sales", dates, "ymd", Step(months=1), 12)


@pytest.fixture(scope="module")
def fitted():
    return Forecaster(12, origins=2, **QUICK).fit(monthly(growing(120)))


# ---- naive forecasts, seasons ---------------------------------------------------------------------------------------


def test_naive_forecasts_by_hand():
    z = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    np.testing.assert_array_equal(naive(z, 3), [5, 5, 5])
    np.testing.assert_array_equal(seasonal_naive(z, 7, 3), [3, 4, 5, 3, 4, 5, 3])
    np.testing.assert_array_equal(seasonal_naive(z, 2, 5), [1, 2])
    np.testing.assert_array_equal(seasonal_naive(z, 2, 1), [5, 5])
    np.testing.assert_array_equal(seasonal_naive(z, 2, 6), [5, 5])  # no whole season yet


def test_seasonal_scale_by_hand():
    z = np.array([1.0, 5.0, 2.0, 9.0])
    assert seasonal_scale(z, 2) == (1 + 4) / 2
    assert seasonal_scale(z, 1) == (4 + 3 + 7) / 3
    assert seasonal_scale(z, 4) == (4 + 3 + 7) / 3  # no pair one season apart: steps
    assert seasonal_scale(np.full(9, 3.0), 2) == 1.0  # no unit to be had
    assert seasonal_scale(z[:1], 1) == 1.0


@pytest.mark.parametrize("period", [4, 7, 12, 24, 52])
def test_estimate_period(period, rng):
    t = np.arange(period * 8)
    for shape in (np.sin(2 * np.pi * t / period), (t % period == 0) * 3.0, np.abs((t % period) - period / 2)):
        z = 5 + 0.01 * t + shape + 0.1 * rng.standard_normal(len(t))
        assert estimate_period(z) == period
        assert estimate_period(1e6 * z - 3e7) == period


def test_no_season_where_there_is_none(rng):
    assert estimate_period(rng.standard_normal(300)) == 1
    assert estimate_period(np.arange(50.0)) == 1
    assert estimate_period(np.full(50, 7.0)) == 1
    assert estimate_period(rng.standard_normal(11)) == 1
    walks = [estimate_period(np.cumsum(np.random.default_rng(k).standard_normal(300))) for k in range(20)]
    assert walks.count(1) >= 15


# ---- views ----------------------------------------------------------------------------------------------------------

VIEWS = [View("last", 9, 5, 1, 2.0), View("last", 9, 5, 7, 0.5), View("season", 9, 5, 7, 3.0),
         View("season", 4, 8, 3, 1.0)]  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_targets_and_forecasts_invert_each_other(view, rng):
    z = np.cumsum(rng.standard_normal(60))
    origins = np.arange(view.reach - 1, 60 - view.horizon)
    assert view.inputs(z, origins).shape == (len(origins), view.window, CHANNELS)
    back = view.forecasts(z, origins, view.targets(z, origins))
    expected = np.stack([z[o + 1 : o + 1 + view.horizon] for o in origins])
    np.testing.assert_allclose(back, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("view", VIEWS)
def test_saying_nothing_is_the_naive_forecast(view, rng):
    z = rng.standard_normal(60)
    for origin in range(view.reach - 1, 60):
        said = view.forecasts(z, np.array([origin]), np.zeros((1, view.horizon)))[0]
        period = view.period if view.base == "season" else 1
        np.testing.assert_array_equal(said, seasonal_naive(z[: origin + 1], view.horizon, period))


@pytest.mark.parametrize("view", VIEWS)
def test_a_window_sees_nothing_after_its_origin_and_nothing_before_its_reach(view, rng):
    z = rng.standard_normal(60)
    for origin in (view.reach - 1, 30, 59 - view.horizon):
        at = np.array([origin])
        changed = z.copy()
        changed[origin + 1 :] = 1e6
        changed[: origin + 1 - view.reach] = -1e6
        np.testing.assert_array_equal(view.inputs(changed, at), view.inputs(z, at))
        np.testing.assert_array_equal(view.bases(changed, at), view.bases(z, at))
        touched = z.copy()
        touched[origin + 1 - view.reach] += 1.0  # the first that it reaches does count
        assert (view.inputs(touched, at) != view.inputs(z, at)).any()


@pytest.mark.parametrize("view", VIEWS)
def test_windows_show_no_level(view, rng):
    """A series moved up by a constant looks the same, and its forecast moves with it."""
    z = rng.standard_normal(60)
    at = np.arange(view.reach - 1, 50)
    np.testing.assert_allclose(view.inputs(z + 100, at), view.inputs(z, at), atol=1e-11)
    np.testing.assert_allclose(view.bases(z + 100, at), view.bases(z, at) + 100, rtol=1e-12)


def test_windows_by_hand():
    z = np.array([1.0, 3.0, 4.0, 8.0, 6.0, 9.0])
    at = np.array([4])
    last = View("last", 2, 1, 1, 2.0).inputs(z, at)[0]
    np.testing.assert_allclose(last, [[(8 - 6) / 2, (8 - 4) / 2, 0, 0], [0, (6 - 8) / 2, 0, 0]])
    season = View("season", 2, 2, 3, 1.0)
    angle = 2 * math.pi * np.array([3, 4]) / 3
    expected = np.stack([[8 - 1, 6 - 3], [8 - 6, 0], np.sin(angle), np.cos(angle)], axis=1)
    np.testing.assert_allclose(season.inputs(z, at)[0], expected, atol=1e-15)
    np.testing.assert_array_equal(season.bases(z, at), [[4.0, 8.0]])
    np.testing.assert_array_equal(View("season", 2, 4, 3).bases(z, at), [[4.0, 8.0, 6.0, 4.0]])


# ---- the network ----------------------------------------------------------------------------------------------------


def test_gradients_of_the_network(rng):
    """By central differences, in float32's reach: the skip and the recurrent part, parameters and inputs."""
    network = forecaster.ForecastNetwork(5, 3, 4, rng=1)
    for name, shape in network.parameters.shapes.items():
        network.parameters[name] = 0.5 * rng.standard_normal(shape)
    x, weight = rng.standard_normal((2, 5, CHANNELS)), rng.standard_normal((2, 1, 3))
    _, _, tape = network.forward(x, record=True)
    grads = network.backward(tape, weight)

    def value(x):
        return float((network(x).astype("f8") * weight).sum())

    def slope(change):
        ends = [change(step) for step in (1e-2, -1e-2)]
        return (ends[0] - ends[1]) / 2e-2

    flat = network.parameters.flat.copy()
    for at in range(0, len(flat), 3):

        def moved(step, at=at):
            network.parameters.writable()[...] = flat
            network.parameters.writable()[at] += step
            return value(x)

        assert grads.flat[at] == pytest.approx(slope(moved), abs=2e-3)
    network.parameters.writable()[...] = flat
    for at in np.ndindex(x.shape):

        def shifted(step, at=at):
            other = x.copy()
            other[at] += step
            return value(other)

        assert grads.x[at] == pytest.approx(slope(shifted), abs=2e-3)
    assert np.abs(grads.flat).max() > 0.1
    assert isinstance(network, Layer)


def test_the_untrained_network_says_nothing(rng):
    network = forecaster.ForecastNetwork(5, 3, 4, rng=1)
    np.testing.assert_array_equal(network(rng.standard_normal((2, 5, CHANNELS))), np.zeros((2, 1, 3)))


# ---- how good -------------------------------------------------------------------------------------------------------


def test_it_beats_the_naive_forecast_where_there_is_something_to_learn(fitted):
    test = fitted.report_["backtest"]
    assert (test["origins"], test["horizon"], test["period"]) == (2, 12, 12)
    assert test["mase"] < 0.5 * test["naive_mase"]
    assert test["mae"] < test["naive_mae"]
    truth = growing(132)[120:]
    forecast = fitted.predict()
    assert np.abs(forecast.mean - truth).mean() < 0.5 * np.abs(forecast.seasonal_naive - truth).mean()


def test_a_random_walk_gets_an_honest_figure(rng):
    """Nothing beats the last value there, and nothing says it does by much."""
    model = Forecaster(6, origins=4, **QUICK).fit(1000 + np.cumsum(rng.standard_normal(200)))
    test = model.report_["backtest"]
    assert model.report_["period"] == test["period"] == 1
    assert test["mase"] == pytest.approx(test["naive_mase"], rel=0.35)
    assert test["naive_mase"] > 0.8


def test_the_figures_of_the_backtest_by_hand(monkeypatch):
    """With a forecast put in its place, every number can be worked out."""
    z = growing(80)
    monkeypatch.setattr(Forecaster, "_ahead", lambda self, past, phase: past[-5] + np.arange(5.0))
    test = Forecaster(5, period=4, log=False, **QUICK).backtest(z, origins=3)
    own, other, scaled, other_scaled = [], [], [], []
    for cut in (65, 70, 75):
        past, truth = z[:cut], z[cut : cut + 5]
        own.append(np.abs(past[-5] + np.arange(5.0) - truth).mean())
        other.append(np.abs(np.resize(past[-4:], 5) - truth).mean())
        unit = np.abs(past[4:] - past[:-4]).mean()
        scaled.append(own[-1] / unit)
        other_scaled.append(other[-1] / unit)
    got = (test.mae, test.naive_mae, test.mase, test.naive_mase)
    assert got == pytest.approx([np.mean(v) for v in (own, other, scaled, other_scaled)], rel=1e-12)
    assert (test.origins, test.horizon, test.period) == (3, 5, 4)
    assert test.wins == (test.mase < test.naive_mase)


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("period", [7, None])
def test_the_backtest_never_sees_the_future(refit, period, monkeypatch):
    """The forecast from the first origin is the same whatever comes after it, to the last bit."""
    seen = []
    ahead = Forecaster._ahead

    def watched(self, z, phase):
        seen.append(ahead(self, z, phase))
        return seen[-1]

    monkeypatch.setattr(Forecaster, "_ahead", watched)
    z = seasonal_series(100, 7, 0, noise=3.0)
    other = z.copy()
    other[90:] = 100 + 40 * np.sin(np.arange(10) * 2.0)
    first = []
    for series in (z, other):
        seen.clear()
        model = Forecaster(5, period=period, **QUICK)
        model.backtest(series, origins=2, refit=refit)
        first.append(seen[0])
        assert len(seen) == 2
    np.testing.assert_array_equal(first[0], first[1])


def test_the_season_is_not_found_in_the_part_to_be_forecast():
    """A season that begins where the backtest begins is not known there."""
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.standard_normal(40), 50 * np.sin(2 * np.pi * np.arange(60) / 6)])
    assert estimate_period(z) == 6
    assert estimate_period(z[:40]) == 1
    test = Forecaster(6, **QUICK).backtest(z, origins=10)
    assert test.period == 1


def test_fit_on_all_goes_on_from_the_end(fitted):
    """The level of a forecast is that of the latest values."""
    z = growing(120)
    forecast = fitted.predict(1, ())
    assert abs(forecast.mean[0] - growing(121)[-1]) < 0.1 * z[-1]
    assert fitted.report_["n"] == 120
    assert fitted.report_["name"] == "sales"


def test_the_same_seed_gives_the_same_bits():
    z = seasonal_series(70, 6, 1)

    def mean(seed):
        return Forecaster(4, origins=0, seed=seed, **QUICK).fit(z).predict().mean

    np.testing.assert_array_equal(mean(1), mean(1))
    assert (mean(1) != mean(2)).any()


def test_a_backtest_leaves_the_model_as_it_was(fitted):
    before = fitted.predict(5, ())
    fitted.backtest(seasonal_series(80, 12, 3), origins=1)
    np.testing.assert_array_equal(fitted.predict(5, ()).mean, before.mean)
    assert fitted.horizon == 12


# ---- logarithms, units ----------------------------------------------------------------------------------------------


def test_logarithms_are_taken_where_they_may_be():
    z = growing(90)
    for series, log, expected in [(z, None, True), (z, False, False), (z - 100, None, False), (z, True, True)]:
        model = Forecaster(6, period=12, log=log, origins=0, **QUICK).fit(series)
        assert model.log_ is expected
    model = Forecaster(6, period=1, origins=0, **QUICK).fit(z)
    assert model.log_ is False
    with pytest.raises(SettingError, match=r"log=True needs values above 0; got"):
        Forecaster(6, log=True, origins=0, **QUICK).fit(z - 100)


def test_forecasts_in_logarithms_are_positive_and_scale_with_the_unit():
    z = growing(90)
    model, other = (Forecaster(6, period=12, origins=0, **QUICK).fit(k * z) for k in (1, 1000))
    first, second = model.predict(18), other.predict(18)
    np.testing.assert_allclose(second.mean, 1000 * first.mean, rtol=1e-3)
    for level in (80, 95):
        assert (first.lower[level] > 0).all()
    with pytest.raises(DataError, match="above 0"):
        model.predict(series=z - 200)


def test_large_and_small_numbers_are_forecast_alike():
    z = seasonal_series(80, 8, 2)
    means = [
        Forecaster(6, period=8, log=False, origins=0, **QUICK).fit(k * z).predict().mean / k for k in (1, 1e9, 1e-9)
    ]
    np.testing.assert_allclose(means[1], means[0], rtol=1e-4)
    np.testing.assert_allclose(means[2], means[0], rtol=1e-4)


def test_a_constant_series_stays():
    model = Forecaster(4, origins=2, **QUICK).fit(np.full(60, 42.0))
    forecast = model.predict(9)
    np.testing.assert_allclose(forecast.mean, 42.0, rtol=1e-5)
    assert math.isfinite(model.report_["backtest"]["mase"])


# ---- answers --------------------------------------------------------------------------------------------------------


def test_intervals_are_ordered_and_nested_and_never_narrow(fitted):
    forecast = fitted.predict(30, [50, 80, 95])
    assert list(forecast.lower) == list(forecast.upper) == [50, 80, 95]
    for level in (50, 80, 95):
        assert (forecast.lower[level] <= forecast.mean).all()
        assert (forecast.mean <= forecast.upper[level]).all()
        width = np.log(forecast.upper[level] / forecast.lower[level])  # in logarithms, in which it was learnt
        assert (np.diff(width) >= -1e-9).all()
        assert width[0] > 0
    for inner, outer in ((50, 80), (80, 95)):
        assert (forecast.lower[outer] <= forecast.lower[inner]).all()
        assert (forecast.upper[inner] <= forecast.upper[outer]).all()


def test_levels_are_kept_apart(fitted):
    forecast = fitted.predict(3, [97.5, 97, 1.5])
    assert sorted(forecast.lower) == [1.5, 97, 97.5]
    assert (forecast.upper[97.5] >= forecast.upper[97]).all()
    assert fitted.predict(3, ()).lower == {}


def test_a_share_is_no_percentage(fitted):
    with pytest.raises(SettingError, match="write 90"):
        fitted.predict(3, 0.9)


@pytest.mark.parametrize("level", [0, -5, 100, math.nan, "80"])
def test_levels_out_of_range_are_refused(fitted, level):
    with pytest.raises(SettingError, match="level must be"):
        fitted.predict(3, [level])


def test_steps_beyond_the_horizon_go_on_from_the_forecast(fitted):
    """The second round starts from the first as if it had happened; fewer steps are the beginning of more."""
    long = fitted.predict(30, ())
    assert len(long.mean) == len(long.seasonal_naive) == 30
    np.testing.assert_array_equal(fitted.predict(5, ()).mean, long.mean[:5])
    then = np.concatenate([growing(120), long.mean[:12]])
    np.testing.assert_allclose(fitted.predict(12, (), series=then).mean, long.mean[12:24], rtol=1e-6)
    np.testing.assert_array_equal(long.seasonal_naive, np.resize(growing(120)[-12:], 30))


@pytest.mark.parametrize("h", [0, -1, 2.5, "3", True])
def test_steps_must_be_a_positive_integer(fitted, h):
    with pytest.raises(SettingError, match="h must be an integer >= 1"):
        fitted.predict(h)


def test_dates(fitted):
    forecast = fitted.predict(14)
    assert forecast.dates[:2] == [dt.date(2020, 1, 1), dt.date(2020, 2, 1)]
    assert forecast.dates[-1] == dt.date(2021, 2, 1)
    assert Forecaster(4, origins=0, **QUICK).fit(growing(60)).predict().dates == []


def test_a_forecast_at_a_prompt_is_one_line(fitted):
    shown = re.sub(r" +", " ", repr(fitted.predict(14)))
    mean = r"\[ ?[\d.]+, [\d.]+, \.\.\., [\d.]+, [\d.]+ ?\]"
    assert re.fullmatch(
        rf"Forecast\(h=14, dates=2020-01-01\.\.2021-02-01, mean={mean}, levels=\[80, 95\], period=12\)", shown
    )
    made = repr(Forecast(np.array([1.5, 2.25]), {}, {}, np.zeros(2)))
    assert made == "Forecast(h=2, mean=[1.5 , 2.25], levels=[], period=1)"


def test_another_series_is_forecast_from_its_own_end(fitted):
    other = growing(75, seed=9)
    forecast = fitted.predict(12, (), series=other)
    np.testing.assert_array_equal(forecast.seasonal_naive, other[-12:])
    assert np.abs(forecast.mean / growing(87, seed=9)[75:] - 1).max() < 0.15
    assert forecast.dates == []


def test_save_and_load_give_the_same_forecast(fitted, tmp_path):
    compuerta.save(fitted, tmp_path / "m.safetensors")
    loaded = compuerta.load(tmp_path / "m.safetensors")
    first, second = fitted.predict(20, [80, 95]), loaded.predict(20, [80, 95])
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.lower[95], second.lower[95])
    assert first.dates == second.dates
    assert loaded.series_.name == "sales"
    assert loaded.report_ == fitted.report_


# ---- sizes and refusals ---------------------------------------------------------------------------------------------


def test_what_is_chosen_if_nothing_is_said():
    model = Forecaster(origins=0, **QUICK).fit(monthly(growing(100)))
    assert (model.period_, model.horizon_) == (12, 12)
    assert {view.base for view, _ in model.members_} == {"season", "last"}
    model = Forecaster(origins=0, **QUICK).fit(seasonal_series(100, 7, 0))
    assert (model.period_, model.horizon_) == (7, 7)
    rng = np.random.default_rng(0)
    model = Forecaster(origins=0, **QUICK).fit(rng.standard_normal(100))
    assert (model.period_, model.horizon_) == (1, 12)
    assert {view.base for view, _ in model.members_} == {"last"}


@pytest.mark.parametrize("horizon", [1, 2, 5, 12])
@pytest.mark.parametrize("period", [1, 4, 12])
def test_the_shortest_series_and_one_less(horizon, period):
    least = 3 * horizon + 8
    z = growing(least)
    model = Forecaster(horizon, period=period, hidden_size=2, members=1, max_epochs=1).fit(z)
    assert np.isfinite(model.predict().mean).all()
    assert model.report_["backtest"] is None  # nothing can be held out, and nothing is made up
    told = rf"horizon {horizon} needs at least {least}; .*at most {horizon - 1} " if horizon > 1 else "give at least 11"
    with pytest.raises(DataError, match=rf"{least - 1} values.*{told}"):
        Forecaster(horizon, period=period).fit(z[:-1])


@pytest.mark.parametrize("n", [30, 45, 60, 61, 75, 90, 118])
@pytest.mark.parametrize("period", [1, 12, 24])
def test_every_length_in_between_works(n, period):
    model = Forecaster(7, period=period, hidden_size=2, members=1, max_epochs=1, origins=1).fit(growing(n))
    assert len(model.predict(9).mean) == 9


def test_a_backtest_that_asks_too_much_is_refused():
    with pytest.raises(DataError, match=r"60 values.*8 forecasts of 6 steps"):
        Forecaster(6, **QUICK).backtest(growing(60), origins=8)
    with pytest.raises(SettingError, match="origins must be"):
        Forecaster(6, **QUICK).backtest(growing(60), origins=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(bad, fitted):
    z = growing(60)
    z[17] = bad
    for series in (z, monthly(z)):
        with pytest.raises(CompuertaError, match=r"must be finite; got .* at \(17,\)"):
            Forecaster(4, **QUICK).fit(series)
        with pytest.raises(CompuertaError, match="must be finite"):
            fitted.predict(series=series)
        with pytest.raises(CompuertaError, match="must be finite"):
            Forecaster(4, **QUICK).backtest(series)


def test_what_is_no_series_is_refused():
    for bad in (np.zeros((30, 2)), 3.0, [[1.0, 2.0], [3.0, 4.0]]):
        with pytest.raises(DataError, match="one row of numbers"):
            Forecaster().fit(bad)
    for bad in (["a", "b"], np.zeros(30, complex)):
        with pytest.raises(TypeError, match="real numbers"):
            Forecaster().fit(bad)
    with pytest.raises(ValueError, match="rows of different lengths"):
        Forecaster().fit([[1.0], [2.0, 3.0]])
    model = Forecaster(3, origins=0, **QUICK).fit(list(range(1, 60)))  # integers will do
    assert model.predict().mean.dtype == np.float64


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("horizon", 0), ("horizon", 2.5), ("period", 0), ("period", -12), ("window", 0), ("members", 0),
        ("max_epochs", 0), ("learning_rate", math.nan), ("learning_rate", -1), ("origins", -1), ("dropout", 1.0),
        ("seed", -1), ("hidden_size", 0),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match="must be"):
        Forecaster(**{"horizon": 4, **QUICK, name: value}).fit(growing(60))


def test_a_model_that_looks_back_further_than_the_series(fitted):
    reach = max(view.reach for view, _ in fitted.members_)
    assert len(fitted.predict(3, series=growing(reach)).mean) == 3
    with pytest.raises(DataError, match=rf"{reach - 1} values, and this model looks back at {reach}"):
        fitted.predict(3, series=growing(reach - 1))


def test_what_is_not_fitted_says_so():
    with pytest.raises(NotFittedError, match="Forecaster has not been fitted"):
        Forecaster().predict()


def test_errors_of_all_members_belong_to_the_same_windows(monkeypatch):
    """Of a series so long that windows are thinned out, members must still be averaged origin by origin."""
    monkeypatch.setattr(forecaster, "_MOST_WINDOWS", 40)
    origins = []
    targets = View.targets

    def watched(self, z, at, known):
        origins.append((self.base, at))
        return targets(self, z, at, known)

    monkeypatch.setattr(View, "targets", watched)
    z = seasonal_series(600, 24, 0)
    Forecaster(3, period=24, hidden_size=2, members=1, max_epochs=1, origins=0).fit(z)
    late = [at for base, at in origins if at[-1] == 600 - 3 - 1]
    assert {base for base, at in origins if at[-1] == 600 - 3 - 1} == {"season", "last"}
    rows = min(len(at) for at in late)
    for at in late[1:]:
        np.testing.assert_array_equal(at[-rows:], late[0][-rows:])


def test_the_season_of_another_series_is_told_by_its_dates():
    """The same months from January on or from May on: the same forecast, because May stays May."""
    z = np.round(seasonal_series(96, 12, 3), 3)
    dates = [dt.date(2010 + k // 12, k % 12 + 1, 1) for k in range(96)]
    step = Step(months=1)
    whole = Series(z, "x", dates, "ymd", step, 12)
    later = Series(z[4:], "x", dates[4:], "ymd", step, 12)
    model = Forecaster(4, **QUICK).fit(whole)
    np.testing.assert_allclose(model.predict(4, series=later).mean, model.predict(4).mean, rtol=1e-6)
    blind = Series(z[4:], "x")
    assert np.abs(model.predict(4, series=blind).mean - model.predict(4).mean).max() > 1e-4
