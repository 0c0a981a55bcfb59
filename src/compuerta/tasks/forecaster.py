"""Forecast one numeric series, and always say what the seasonal naive forecast would have done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..data import Series, Source, as_series, looks_like_series, read_series
from ..data.series import POLICIES
from ..data.source import Named
from ..errors import DataError, FileFormatError, Phrase, SettingError
from ..layers import LSTM, Blank, Layer, Trace
from ..texts import say
from ..training import AdamW, Callback, EarlyStopping, Progress, Shuffled, Trainer, absolute_error
from .answers import Context, Drawing, GraphBuilder, Option, Reading, Report
from .base import Array, Task, fill
from .forecast import Backtest, Forecast, backtest_lines, draw_forecast
from .forecast_graph import forecast_graph
from .forecast_network import ForecastNetwork
from .windows import View, estimate_period, seasonal_naive, seasonal_scale


class Forecaster(Task):
    """Forecast a numeric series some steps ahead, directly and all steps at once.

    Several small networks, each an LSTM with a linear skip that corrects a naive forecast (see
    :mod:`compuerta.tasks.windows`), learn from windows of the series; their mean is the forecast. A positive series
    with a season is forecast in logarithms. Intervals are quantiles of the errors on the validation split, the latest
    windows, from which the networks did not learn.

    Args:
        horizon: steps to forecast; if None one season, but at most 60 (12 where there is no season).
        period: length of the season in steps; if None, that of the dates, else the clearest in the series. A series
            too short for two seasons and three horizons is taken to have none.
        window: steps the networks see; chosen from the season if None.
        hidden_size: H. members: networks for each view.
        dropout: in training, before the output.
        max_epochs: passes over the windows at most; learning stops earlier where the validation split says so.
        learning_rate: of AdamW.
        log: forecast in logarithms; if None, where the series is positive and has a season.
        origins: forecasts of the backtest that ``fit`` makes and reports; 0 for none.
        seed: of everything that is random.

    Attributes:
        report_: what is known of the fit: ``backtest`` (a :class:`Backtest` as a dict, or None), sizes, ``period``.

    >>> from compuerta import Forecaster
    >>> from compuerta.data import seasonal_series
    >>> series = seasonal_series(96, period=12, rng=0)
    >>> model = Forecaster(horizon=6, hidden_size=8, members=1, max_epochs=5, origins=0).fit(series)
    >>> model.predict(6).mean.shape
    (6,)
    """

    word = "series"
    kind = "kind.forecast"
    data_options: ClassVar[Sequence[Option]] = (
        Option("column", "text"),
        Option("id", "text"),
        Option("decimal", "choice", choices=(".", ",")),
        Option("thousands", "choice", choices=(".", ",", " ", "'", "")),
        Option("missing", "choice", choices=POLICIES, default="mask"),
        Option("encoding", "text"),
    )
    training_options: ClassVar[Sequence[Option]] = (
        Option("hidden_size", "integer", 1, 65536, default=40),
        Option("dropout", "number", 0, 0.99, default=0.1),
        Option("learning_rate", "number", 0, 100, open_low=True, default=5e-3),
        Option("horizon", "integer", 1, 100_000),
        Option("period", "integer", 1, 1_000_000),
        Option("window", "integer", 2, 100_000),
        Option("origins", "integer", 0, 10_000, default=4),
    )
    evaluation_options: ClassVar[Sequence[Option]] = (Option("origins", "integer", 1, 10_000, default=4),)

    def __init__(
        self,
        horizon: int | None = None,
        *,
        period: int | None = None,
        window: int | None = None,
        hidden_size: int = 40,
        members: int = 2,
        dropout: float = 0.1,
        max_epochs: int = 150,
        learning_rate: float = 5e-3,
        log: bool | None = None,
        origins: int = 4,
        seed: int = 0,
    ) -> None:
        self.horizon = horizon
        self.period = period
        self.window = window
        self.hidden_size = hidden_size
        self.members = members
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.log = log
        self.origins = origins
        self.seed = seed

    # ---- learning ---------------------------------------------------------------------------------------------------

    def fit(
        self,
        series: Series | ArrayLike,
        y: Any = None,
        *,
        callbacks: Callable[[str], Sequence[Callback]] | None = None,
    ) -> Forecaster:
        """Learn from ``series``: first a backtest on its end, then all of it.

        Args:
            series: what :func:`compuerta.data.read_series` returned, numbers (n,), oldest first, or what else
                :func:`compuerta.data.as_series` takes, such as a series of pandas with an index of dates.
            y: if given, the values, as scikit-learn has them; ``series`` then is a date or a number for each.
            callbacks: given a label such as "2/4", returns callbacks for that network's training.

        Raises:
            DataError: the series is too short, or contains values that are not finite.
        """
        whole = _series(series) if y is None else as_series(y, dates=series)
        period, horizon, origins = self._sizes(whole)
        report: dict[str, Any] = {"n": len(whole.values), "period": period, "horizon": horizon, "backtest": None,
                                  "origins": self.origins, "name": whole.name,
                                  "measurable": _most_horizon(len(whole.values), period, 1)}  # fmt: skip
        if origins:
            report["backtest"] = asdict(self.backtest(whole, origins=origins, callbacks=callbacks))
        self._learn(whole, period, horizon, callbacks)
        self.report_ = report
        return self

    def _sizes(self, series: Series) -> tuple[int, int, int]:
        """Return period, horizon and the number of backtest origins that the series is long enough for."""
        z = series.values
        period = self._season(series)
        horizon = self._bearable(len(z), period) if self.horizon is None else checks.count(self.horizon, "horizon")
        origins = checks.count(self.origins, "origins", low=0)
        least = 3 * horizon + 8
        if len(z) < least:
            most = (len(z) - 8) // 3
            key = "error.series_too_short" if most > 0 else "error.series_too_short_for_any"
            raise DataError(key, got=len(z), expected=least if most > 0 else 11, horizon=horizon, most=most)
        if 2 * period + 3 * horizon > len(z):
            period = 1  # too short to know its season; the report says so
        room = (len(z) - max(least, 2 * period + 2 * horizon)) // horizon
        return period, horizon, max(0, min(origins, room))

    @staticmethod
    def _natural(period: int) -> int:
        """Return the horizon that is chosen where the series bears it: one season."""
        return min(period, 60) if period > 1 else 12

    def _bearable(self, n: int, period: int) -> int:
        """Return the horizon that is chosen for ``n`` values: one season, or less, so that it can be measured.

        It shrinks until two forecasts of the backtest fit in, else one; but to no less than a quarter.
        """
        natural = self._natural(period)
        fitting = [min(natural, _most_horizon(n, period, origins)) for origins in (2, 1)]
        return next((h for h in fitting if 4 * h >= natural), max(1, min(natural, (n - 8) // 3)))

    def _season(self, series: Series) -> int:
        """Return the season that was asked for, else that of the dates, else the clearest in the values."""
        period = self.period if self.period is not None else series.period or estimate_period(series.values)
        return checks.count(period, "period")

    def _learn(
        self, series: Series, period: int, horizon: int, callbacks: Callable[[str], Sequence[Callback]] | None
    ) -> None:
        z = series.values
        positive = bool((z > 0).all())
        if self.log and not positive:
            raise SettingError("error.log_needs_positive", got=float(z.min()))
        log = (positive and period > 1) if self.log is None else bool(self.log)
        z = np.log(z) if log else z
        observed = None if series.missing is None else np.where(series.missing, np.nan, z)
        window = self.window if self.window is not None else max(min(2 * period, 48), 12)
        window = min(checks.count(window, "window"), max(2, len(z) - 2 * horizon - period - 2))
        bases = ("season", "last") if period > 1 else ("last",)
        rng = checks.generator(self.seed, "Forecaster")
        members: list[tuple[View, ForecastNetwork]] = []
        errors = []
        count = len(bases) * checks.count(self.members, "members")
        # Windows to validate on, the same for every member: a sixth of those of the view that reaches back furthest.
        common = len(z) - horizon - window - (period if period > 1 else 1) + 1
        validation = max(1, min(common // 3, max(horizon, common // 6)))
        for k in range(count):
            view = View(bases[k % len(bases)], window, horizon, period)
            label = f"{k + 1}/{count}"
            view, network, error = self._member(
                z, observed, view, validation, rng, callbacks(label) if callbacks else ()
            )
            members.append((view, network))
            errors.append(error)
        # All at once, so that a run that is interrupted leaves what was learnt before.
        self.members_, self.log_, self.series_ = members, log, series
        # Of the mean of all members, on the validation split of them all.
        self.errors_ = _without_holes(np.mean(errors, axis=0))
        self.period_, self.horizon_ = period, horizon

    @property
    def fitted(self) -> bool:
        """Whether it has learnt, if only for a backtest."""
        return hasattr(self, "members_")

    def _member(
        self,
        z: Array,
        observed: Array | None,
        view: View,
        validation: int,
        rng: np.random.Generator,
        callbacks: Sequence[Callback],
    ) -> tuple[View, ForecastNetwork, Array]:
        """Train one network; return it with its view and its errors (M, h) on the validation split."""
        h = view.horizon
        origins = np.arange(view.reach - 1, len(z) - h)
        if observed is not None:  # a window with no known targets teaches nothing
            origins = origins[~np.isnan(view.targets(z, origins, observed)).all(axis=1)]
        if not len(origins):
            raise DataError("error.series.all_missing", horizon=h)
        early, late = _thinned(origins[: max(1, len(origins) - validation - h + 1)]), _thinned(origins[-validation:])
        view = replace(view, scale=float(np.nanstd(view.targets(z, early, observed))) or 1.0)
        x, y = _single(view.inputs(z, early)), _single(view.targets(z, early, observed))[:, None]
        x_late, y_late = _single(view.inputs(z, late)), _single(view.targets(z, late, observed))[:, None]
        seed = int(rng.integers(2**31))
        network = ForecastNetwork(view.window, h, self.hidden_size, self.dropout, rng=seed)
        stopper = EarlyStopping(15, reductions=1)
        self._train(
            network, x, y, seed, [*callbacks, stopper], validate=lambda: _known_error(network(x_late), y_late)[0]
        )
        errors = view.scale * (y_late - network(x_late))[:, 0]
        if len(origins) <= _MOST_WINDOWS:  # too few to do without the latest: learn again, from all of them
            x, y = _single(view.inputs(z, origins)), _single(view.targets(z, origins, observed))[:, None]
            network = ForecastNetwork(view.window, h, self.hidden_size, self.dropout, rng=seed)
            self._train(network, x, y, seed, (), updates=stopper.best_update)
        return view, network, errors

    def _train(
        self,
        network: ForecastNetwork,
        x: Array,
        y: Array,
        seed: int,
        callbacks: Sequence[Callback],
        *,
        validate: Callable[[], float] | None = None,
        updates: int | None = None,
    ) -> None:
        source = Shuffled(x, y, batch_size=32 if len(x) < 500 else 64)
        trainer = Trainer(
            network, _known_error, AdamW(), learning_rate=self.learning_rate, clip=1.0, rng=seed, callbacks=callbacks
        )
        total = updates if updates is not None else source.batches * checks.count(self.max_epochs, "max_epochs")
        trainer.fit(source, total, validate=validate, every=source.batches)

    # ---- answering --------------------------------------------------------------------------------------------------

    def predict(
        self,
        h: int | None = None,
        level: Sequence[float] | float = (80, 95),
        *,
        series: Series | ArrayLike | None = None,
    ) -> Forecast:
        """Forecast ``h`` steps after the end of the series (or of another, of the same kind).

        Beyond the horizon it was trained for, forecasts are fed back as if they had happened.

        Args:
            h: steps; the trained horizon if None.
            level: percentages of the intervals: 95, not 0.95.
            series: forecast from the end of this one in place of the one it learnt from.

        Raises:
            NotFittedError, SettingError, DataError.
        """
        self.check_fitted()
        h = checks.count(h if h is not None else self.horizon_, "h")
        level = [level] if isinstance(level, (int, float)) else level
        levels = [checks.number(v, "level", low=0.0, high=math.nextafter(100.0, 0.0), open_low=True) for v in level]
        if any(v < 1 for v in levels):
            raise SettingError("error.level", got=f"{min(levels):g}", meant=f"{100 * min(levels):g}")
        past = self.series_ if series is None else _series(series)
        reach = max(view.reach for view, _ in self.members_)
        if len(past.values) < reach:
            raise DataError("error.series_too_short_to_forecast", got=len(past.values), expected=reach)
        z = self.transform(past.values)
        phase = _phase(self.series_, past)
        spread: dict[float, list[Array]] = {v: [] for v in levels}
        means: list[Array] = []
        while sum(len(mean) for mean in means) < h:
            mean = self._ahead(z, phase)
            z = np.concatenate((z, mean))
            means.append(mean)
            for v in levels:  # each round on fed-back values is as much more uncertain as one more independent error
                spread[v].append(np.quantile(np.abs(self.errors_), v / 100, axis=0) * math.sqrt(len(means)))
        mean = np.concatenate(means)[:h]
        lower: dict[float, Array] = {}
        upper: dict[float, Array] = {}
        for v in levels:
            width = np.maximum.accumulate(np.concatenate(spread[v])[:h])
            key = int(v) if v == int(v) else v
            lower[key], upper[key] = self.inverse_transform(mean - width), self.inverse_transform(mean + width)
        season = self._season(past) if len(past.values) >= self._season(past) else 1
        repeated = seasonal_naive(past.values, h, season)
        return Forecast(self.inverse_transform(mean), lower, upper, repeated, past.future_dates(h), season)

    def _ahead(self, z: Array, phase: int = 0) -> Array:
        """Return the mean of the members' forecasts (horizon,) from the end of ``z``."""
        origin = np.array([len(z) - 1])
        each = [v.forecasts(z, origin, net(_single(v.inputs(z, origin, phase)))[:, 0])[0] for v, net in self.members_]
        mean: Array = np.mean(each, axis=0)
        return mean

    def trace(
        self,
        *,
        member: int = 0,
        series: Series | ArrayLike | None = None,
        clamp: Mapping[Any, float] | None = None,
    ) -> Trace:
        """Return every gate of one of the networks while it reads its window, the end of the series: (1, W, H).

        ``trace.values_in`` are the values of the series in the window, ``trace.labels`` their dates or places; ``y`` is
        what the LSTM adds to the linear part of the forecast, in the network's own units.

        Args:
            member: which network, from 0; they take turns in what they see, see :mod:`compuerta.tasks.windows`.
            series: read the end of this one in place of the one it learnt from.
            clamp: units clamped at a value, see :meth:`compuerta.LSTM.forward`.

        Raises:
            NotFittedError, SettingError, DataError: as in :meth:`predict`, or there is no such member or unit.
        """
        self.check_fitted()
        if not 0 <= checks.count(member, "member", low=0) < len(self.members_):
            raise SettingError("error.no_member", got=member, count=len(self.members_))
        past = self.series_ if series is None else _series(series)
        view, network = self.members_[member]
        if len(past.values) < view.reach:
            raise DataError("error.series_too_short_to_forecast", got=len(past.values), expected=view.reach)
        origin = np.array([len(past.values) - 1])
        inputs = view.inputs(self.transform(past.values), origin, _phase(self.series_, past))
        _, trace = network.core.trace(_single(inputs), clamp=clamp)
        first = len(past.values) - view.window
        dates = past.dates
        labels = [past.label(dates[k]) if dates is not None else str(k + 1) for k in range(first, len(past.values))]
        return trace.with_labels(values_in=past.values[first:], labels=labels)

    def backtest(
        self,
        series: Series | ArrayLike,
        *,
        origins: int = 4,
        callbacks: Callable[[str], Sequence[Callback]] | None = None,
        refit: bool | None = None,
    ) -> Backtest:
        """Forecast the last ``origins`` horizons of ``series``, each from what came before it, and measure.

        Args:
            series: as in :meth:`fit`.
            origins: how many forecasts, one horizon apart.
            callbacks: as in :meth:`fit`.
            refit: learn anew at every origin (costs ``origins`` fits); if None, where the series is short. Otherwise
                one model that has seen nothing after the first origin makes all forecasts.
        """
        whole = _series(series)
        _, horizon, _ = self._sizes(whole)
        checks.count(origins, "origins")
        z, n = whole.values, len(whole.values)
        if n - origins * horizon < 3 * horizon + 8:
            raise DataError("error.backtest_too_long", got=n, origins=origins, horizon=horizon)
        settings = {**self.get_params(), "horizon": horizon}
        # The season, too, must be known from what comes before the part to be forecast.
        before = whole.until(n - origins * horizon)
        period, _, _ = Forecaster(**settings)._sizes(before)
        season = self._season(before) if len(before.values) > self._season(before) else 1  # one is enough to repeat
        refit = n < 500 if refit is None else refit
        model = Forecaster(**{**settings, "period": period})
        own, other, unit = [], [], []
        for k in range(origins, 0, -1):
            cut = n - k * horizon
            past, truth = whole.until(cut), z[cut : cut + horizon]
            if refit or k == origins:
                label = f"{origins - k + 1}/{origins}"
                model._learn(past, period, horizon, _prefixed(callbacks, label))
            forecast = model.predict(horizon, (), series=past)
            scale = seasonal_scale(past.values, season)
            repeated = seasonal_naive(past.values, horizon, season)
            there = slice(None) if whole.missing is None else ~whole.missing[cut : cut + horizon]
            if len(truth[there]):  # what is missing is not scored
                own.append(float(np.abs(forecast.mean - truth)[there].mean()))
                other.append(float(np.abs(repeated - truth)[there].mean()))
                unit.append(scale)
        if not own:
            raise DataError("error.series.all_missing", horizon=horizon)
        ratios = [(a / s, b / s) for a, b, s in zip(own, other, unit, strict=True)]
        return Backtest(
            len(own), horizon, season, float(np.mean(own)), float(np.mean([a for a, _ in ratios])),
            float(np.mean(other)), float(np.mean([b for _, b in ratios])),
        )  # fmt: skip

    def transform(self, values: Array) -> Array:
        """Return values of a series (n,) as the networks' windows take them: their logarithms, where it learnt so.

        Raises:
            DataError: one is not positive, and has no logarithm.
        """
        self.check_fitted()
        if not self.log_:
            return values
        if not (values > 0).all():
            raise DataError("error.series_not_positive", got=float(values.min()))
        return np.log(values)

    def inverse_transform(self, z: Array) -> Array:
        """Return what :meth:`transform` made of values, (n,), in the units of the series again."""
        self.check_fitted()
        with np.errstate(over="ignore"):
            return np.exp(z) if self.log_ else z

    # ---- answers; see Task ------------------------------------------------------------------------------------------

    @classmethod
    def likeness(cls, path: Named) -> float:
        """Return 0.9 for a table with a column of numbers, and for what is called one."""
        return 0.9 if looks_like_series(path) or Source.of(path).suffix in (".csv", ".tsv") else 0.0

    @classmethod
    def read(cls, path: Named, **options: Any) -> Series:
        """Return the series of a file, see :func:`compuerta.data.read_series`."""
        return read_series(path, **options)

    def learn(self, data: Series, context: Context) -> None:
        """Learn from a series, with a bar for each network."""
        for note in data.notes:
            context.note(note)
        context.note(Phrase("cli.train.series", file=context.source, name=data.name, n=len(data.values)))
        _, horizon, _ = self._sizes(data)
        if self.horizon is None and horizon < self._natural(self._season(data)):
            context.note(Phrase("input.horizon", horizon=horizon, natural=self._natural(self._season(data))))
        self.fit(data, callbacks=_bars(context))

    def report(self) -> Report:
        """Return the errors of the backtest beside those of the seasonal naive forecast."""
        self.check_fitted()
        return Report(backtest_lines(self.report_), self.report_)

    def evaluate(self, data: Series, context: Context, *, origins: int = 4) -> Report:  # type: ignore[override]
        """Return the errors of a backtest on the end of a series, with models that learn anew."""
        context.note(Phrase("cli.evaluate.series", file=context.source, n=len(data.values), origins=origins))
        test = asdict(self.backtest(data, origins=origins, callbacks=_bars(context)))
        return Report(backtest_lines({"backtest": test}), test)

    def facts(self) -> dict[str, Any]:
        """Return the series that it learnt from."""
        self.check_fitted()
        return {"series": f"{self.series_.name}: {len(self.series_.values)}"}

    def next_command(self) -> str:
        """Return "forecast", unless the seasonal naive forecast did as well."""
        self.check_fitted()
        test = self.report_["backtest"]
        return "forecast" if test is None or Backtest(**test).wins else ""

    def forecast(
        self, data: Series | None = None, h: int | None = None, level: Sequence[float] = (80, 95)
    ) -> tuple[Series, Forecast]:
        """Return the series that is gone on with, ``data`` or that which it learnt from, and its forecast."""
        forecast = self.predict(h, level, series=data)
        return self.series_ if data is None else data, forecast

    def drawing(self) -> Drawing:
        """Return the series and its forecast."""
        return draw_forecast(*self.forecast())

    def traced(self, data: Series | None = None) -> Trace:
        """Return the trace of the first network over the end of a series."""
        return self.trace(series=data)

    def page_reading(self, data: Series | None = None) -> Reading:
        """Return how the first network reads the last window of a series, and what it forecasts.

        The series and the forecast are in the units of the series; the inputs are what the network sees of it.
        """
        window = self.trace(series=data)
        past = self.series_ if data is None else _series(data)
        view, network = self.members_[0]
        z, origin = self.transform(past.values), np.array([len(past.values) - 1])
        inputs = _single(view.inputs(z, origin, _phase(self.series_, past)))
        lstm, dense = network.core.layers[0], network.core.layers[-1]
        assert isinstance(lstm, LSTM)
        _, trace = lstm.trace(inputs)
        trace = trace.with_labels(values_in=window.values_in, labels=window.labels)
        dy = np.zeros_like(trace["h", lstm.num_layers - 1])
        dy[0, -1] = dense.parameters["w"].sum(axis=0)
        mean = self.inverse_transform(view.forecasts(z, origin, network(inputs)[:, 0])[0])
        skip = network.skip(inputs[:, :, :2].reshape(1, 1, -1))[0, 0]
        # A forecast is base + scale (core + skip), of what the network gives; of logarithms, the exponential of it.
        weights = {"w": dense.parameters["w"], "wb": dense.parameters["b"], "skip": skip,
                   "base": view.bases(z, origin)[0], "scale": np.array([view.scale])}  # fmt: skip
        return Reading(
            trace, title=past.name, dy=dy, gradient_of="forecast", arrays={"forecast": mean.astype(np.float64)},
            weights=weights, model={"outputs": len(skip), "log": bool(self.log_)},
        )  # fmt: skip

    def networks(self) -> list[Layer]:
        """Return the network of every member."""
        self.check_fitted()
        return [network for _, network in self.members_]

    def graph(self, graph: GraphBuilder) -> None:
        """Add the whole forecaster, from the latest values of a series to its forecast, in its own units.

        Inputs: ``series`` (N, T) float64, T at least the reach of the longest window, the newest value last; and, where
        there is a season, ``step`` (N,) int64: how many steps after the first value that the model learnt from the
        newest one lies, by default that of the end of the series it learnt. Output: ``forecast`` (N, h) float64, the
        mean of the members. Logarithm, differences, scale, season, networks and the way back are all in the graph;
        intervals are not.
        """
        self.check_fitted()
        forecast_graph(self.members_, self.log_, len(self.series_.values), graph)

    def graph_runs(self) -> Iterator[tuple[Mapping[str, Array], Array]]:
        """Yield the series that it learnt from, cut at its last ends, and the forecast from each."""
        self.check_fitted()
        values = self.series_.values
        for end in range(len(values), max(len(values) - 4, max(view.reach for view, _ in self.members_) - 1), -1):
            step = {"step": np.array([end - 1])} if self.period_ > 1 else {}
            yield {"series": values[None, :end], **step}, self.predict(level=(), series=values[:end]).mean[None]

    @classmethod
    def blank_parts(cls, content: dict[str, Any], path: str) -> dict[str, Layer]:
        """Return the two parts of every member, without their weights."""
        parts: dict[str, Layer] = {}
        for k, (_, config) in enumerate(content["members"]):
            network = ForecastNetwork(**config, rng=Blank())
            parts |= {f"{k}.core.": network.core, f"{k}.skip.": network.skip}
        return parts

    # ---- one file ---------------------------------------------------------------------------------------------------

    def to_file(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return tensors and JSON values; see :func:`compuerta.save`."""
        self.check_fitted()
        tensors: dict[str, Array] = {"series": self.series_.values, "errors": self.errors_}
        for k, (_, network) in enumerate(self.members_):
            tensors.update({f"{k}.{name}": array for name, array in network.parameters.items()})
        content = {
            "settings": self.get_params(),
            "report": self.report_,
            "series": self.series_.to_json(),
            "log": self.log_,
            "period": self.period_,
            "horizon": self.horizon_,
            "members": [[asdict(view), network.config()] for view, network in self.members_],
        }
        return tensors, content

    @classmethod
    def from_file(cls, tensors: dict[str, Array], content: dict[str, Any], path: str) -> Forecaster:
        """Return the model of a file; see :func:`compuerta.load`."""
        task = cls(**content["settings"])
        task.report_, task.log_ = content["report"], content["log"]
        task.period_, task.horizon_ = content["period"], content["horizon"]
        task.series_ = Series.from_json(tensors["series"], content["series"])
        task.errors_ = tensors["errors"]
        task.members_ = []
        expected = {"series", "errors"} | {f"{k}." for k in range(len(content["members"]))}
        for name in tensors:
            if name not in expected and name.split(".")[0] + "." not in expected:
                raise FileFormatError("error.file.tensor", path=path, name=name, expected=Phrase("word.absent"),
                                      got=tensors[name].shape)  # fmt: skip
        for k, (view, config) in enumerate(content["members"]):
            network = ForecastNetwork(**config, rng=Blank())
            fill(network, tensors, path, prefix=f"{k}.")
            task.members_.append((View(**view), network))
        return task


def _bars(context: Context) -> Callable[[str], Sequence[Callback]]:
    """Return what gives each network its callbacks, the last a progress bar, which goes when the network is done."""

    def callbacks(label: str) -> list[Callback]:
        fold, _, network = label.rpartition(" · ")
        key = "progress.fold" if fold else "progress.network"
        label = say(key, context.lang, **({"fold": fold} if fold else {}), network=network)
        return [
            *context.callbacks,
            Progress(context.lang, name=say("progress.error", context.lang), label=label, leave=False),
        ]

    return callbacks


def _series(series: Any) -> Series:
    """Convert anything that contains a series to a Series with finite values."""
    result = as_series(series)
    checks.finite(result.values, "Forecaster", "series")
    return result


def _known_error(predictions: Array, targets: Array) -> tuple[float, Array]:
    """Return the mean absolute error, and its gradient, over the targets that are known: those that are not NaN."""
    unknown = np.isnan(targets)
    if not unknown.any():
        return absolute_error(predictions, targets)
    return absolute_error(predictions, np.where(unknown, 0, targets).astype(targets.dtype), ~unknown)


def _most_horizon(n: int, period: int, origins: int) -> int:
    """Return the longest horizon for which a backtest of ``origins`` forecasts fits in ``n`` values; 0 for none."""
    return max(0, min((n - 8) // (3 + origins), (n - 2 * period) // (2 + origins)))


def _without_holes(errors: Array) -> Array:
    """Return errors (M, h) with what is unknown of each step spread as what is known of it, or of the nearest step."""
    valid = ~np.isnan(errors)
    if valid.all():
        return errors
    full, there = errors.copy(), np.flatnonzero(valid.any(axis=0))
    for step in range(errors.shape[1]):
        holes = ~valid[:, step]
        of = errors[:, there[np.abs(there - step).argmin()]]
        full[holes, step] = np.quantile(of[~np.isnan(of)], (np.arange(holes.sum()) + 0.5) / max(1, holes.sum()))
    return full


#: Windows that a network learns from at most; of a longer series, evenly spaced ones are taken.
_MOST_WINDOWS = 1000


def _thinned(origins: Array) -> Array:
    if len(origins) <= _MOST_WINDOWS:
        return origins
    return origins[np.linspace(0, len(origins) - 1, _MOST_WINDOWS).round().astype(np.intp)]


def _phase(training_series: Series, other: Series) -> int:
    """Return how many steps after the training series another begins, by their dates; 0 without dates."""
    if training_series.step is None or not training_series.dates or not other.dates:
        return 0
    return round(training_series.step.between(training_series.dates[0], other.dates[0]))


def _single(array: Array) -> Array:
    return array.astype(np.float32)


def _prefixed(
    callbacks: Callable[[str], Sequence[Callback]] | None, prefix: str
) -> Callable[[str], Sequence[Callback]] | None:
    return None if callbacks is None else lambda label: callbacks(f"{prefix} · {label}")
