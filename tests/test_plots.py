"""Pictures: the numbers drawn are those of the readings, whatever is in them; files are the same at every time."""

import re
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import compuerta
from compuerta import GRU, LSTM, gates
from compuerta.errors import MissingExtraError, SettingError
from compuerta.layers import Trace
from compuerta.see import plots, readings
from compuerta.see.scale import CIVIDIS, DIVERGING, GREY, Scale, ink


@pytest.fixture
def trace(rng):
    layer = LSTM(2, 6, 2, dtype="float64", rng=0)
    layer.parameters.writable()[...] = rng.normal(size=layer.parameters.size)
    return layer.trace(rng.normal(size=(20, 2)))[1]


def test_the_heat_map_shows_the_trace(trace):
    for key, layer in (("f", 0), ("c", 1), ("z_f", 0)):
        ax = plots.gates(trace, key, layer, lang="en")
        (picture,) = ax.images
        np.testing.assert_array_equal(picture.get_array(), trace[key, layer][0].T)
        low, high = picture.get_clim()
        assert (low, high) == ((0, 1) if key == "f" else (-high, high))
        assert high == (1 if key == "f" else np.abs(trace[key, layer]).max())
    assert [to_hex(picture.cmap(v)) for v in (0.0, 1.0)] == [plots._hex(DIVERGING[k]) for k in (0, 4)]
    np.testing.assert_allclose(picture.cmap(0.5)[:3], np.array(DIVERGING[2]) / 255, atol=0.01)
    names = plots.gates(trace, "f", lang="en").get_title(), plots.gates(trace, "f", lang="es").get_title()
    assert names == ("Forget gate (f), layer 1", "Compuerta de olvido (f), capa 1")


def test_the_lines_of_the_heat_map_in_another_order(trace):
    by_memory = np.argsort(-readings.half_life(trace))
    picture = plots.gates(trace, "f", order="memory").images[0].get_array()
    np.testing.assert_array_equal(picture, trace["f", 0][0].T[by_memory])
    found = readings.saturation(trace)
    by_stuck = np.argsort(-(found.below["f"] + found.above["f"]), kind="stable")
    assert list(by_stuck) != sorted(by_stuck)
    stuck = plots.gates(trace, "o", order="saturation")
    np.testing.assert_array_equal(stuck.images[0].get_array(), trace["o", 0][0].T[by_stuck])
    assert int(stuck.get_yticklabels()[0].get_text()) - 1 == by_stuck[0]
    x = np.ones((9, 2))
    narrow = LSTM(2, 6, projection_size=3, rng=0).trace(x)[1]
    np.testing.assert_array_equal(plots.gates(narrow, "h", order="memory").images[0].get_array(), narrow["h", 0][0].T)
    assert plots.gates(GRU(2, 4, rng=0).trace(x)[1], "h", order="saturation").images
    with pytest.raises(SettingError, match="order"):
        plots.gates(trace, order="colour")


def test_a_unit_s_lines_are_its_numbers(trace):
    ax = plots.unit(trace, 3, ["f", "c", "h"], 1)
    lines = {line.get_label().split()[0]: line.get_ydata() for axes in ax.figure.axes for line in axes.lines}
    for key in "fch":
        np.testing.assert_array_equal(lines[key], trace[key, 1][0, :, 3])
    assert plots.unit(trace.select(units=[4]), 0, lang="en").get_title() == "Unit 5 of layer 1"
    large = LSTM(2, 3, rng=0).trace(np.ones((9, 2)), clamp={("c", 0, 1): 40.0})[1]
    left, right = plots.unit(large, 1).figure.axes
    assert left.get_ylim()[1] < 2 < right.get_ylim()[1]


def test_bars_and_points_and_curves_are_the_readings(trace):
    told = readings.ledger(trace, 12, 1)
    bars = plots.ledger(trace, 2, 12, 1).patches
    np.testing.assert_array_equal([bar.get_height() for bar in bars], told.shares[:, 2])
    for bar in bars:
        assert to_hex(bar.get_facecolor()) == plots._hex(DIVERGING[-1 if bar.get_height() >= 0 else 0])
    found = readings.saturation(trace)
    for gate, points in zip(found.below, plots.saturation_scatter(trace).collections, strict=True):
        assert points.get_label() == gate
        np.testing.assert_array_equal(points.get_offsets(), np.stack(found.shares(gate), axis=1))
    flow = readings.gradient_flow(trace)
    ax = plots.flow(trace)
    assert ax.get_yscale() == "log"
    for key, line in zip(flow, ax.lines, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), flow[key])
    shown = plots.connectivity(trace, layer=1).images[0].get_array()
    norms = readings.connectivity(trace, layer=1)
    np.testing.assert_allclose(shown.filled(-np.inf)[norms > 0], np.log10(norms[norms > 0]))
    assert shown.mask.sum() == (norms == 0).sum() == 190


@pytest.mark.parametrize("view", ["gates", "unit", "saturation", "ledger", "flow", "connectivity", "overview"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_finite_breaks_no_scale(tmp_path, rng, view, bad):
    layer = LSTM(2, 4, dtype="float64", rng=0, output_activation="Identity", input_activation="Identity")
    x = rng.normal(size=(12, 2))
    x[8] = bad
    _, trace = layer.trace(x)
    options = {"unit": 1} if view in ("unit", "ledger", "overview") else {}
    drawn = trace.plot(view, **options)
    plots.write(drawn, tmp_path / "a.png")
    for ax in drawn.figure.axes:
        assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
        for picture in ax.images:
            assert np.isfinite(picture.get_clim()).all()


def test_what_is_not_finite_is_told_and_what_stands_alone_is_seen(trace, monkeypatch):
    whole = Trace.__getitem__

    def with_gaps(self, asked):
        values = whole(self, asked).copy()
        if asked[0] == "c" and values.shape[1] > 8:
            values[0, [3, 5, 8], 1] = np.nan, np.inf, -np.inf
        return values

    monkeypatch.setattr(Trace, "__getitem__", with_gaps)
    heat = plots.gates(trace, "c", lang="en")
    shown, limit = heat.images[0].get_array(), heat.images[0].get_clim()[1]
    assert shown.mask.sum() == 1
    assert (shown[1, 5], shown[1, 8]) == (limit, -limit)  # the colours of the ends, as on the page and in the terminal
    assert [text.get_text() for text in heat.texts] == ["NaN (grey) or infinite: 3"]
    ax = plots.unit(trace, 1, ["c"], lang="es")
    assert [text.get_text() for text in ax.texts] == ["NaN o infinitos, sin dibujar: 3"]
    assert ax.lines[0].get_marker() == "o"
    assert ax.lines[0].get_markevery() == [4]  # between two gaps there is no line to draw
    assert plots.unit(trace, 2, ["c"]).texts[:] == []
    one = plots.unit(trace.select(steps=slice(0, 1)), 2, ["f"])
    assert (one.lines[0].get_marker(), one.lines[0].get_markevery()) == ("o", [0])
    title = plots.ledger(trace, 1, 5, lang="en").get_title()
    assert "nan" not in title
    assert "inf" not in title


def test_labels_stand_inside_the_picture_and_a_scale_beside_its_map(trace):
    drawn = plots.connectivity(trace, lang="en").figure
    drawn.draw_without_rendering()
    assert drawn.axes[0].yaxis.label.get_window_extent().x0 >= 0
    page = plots.overview(trace, unit=0, lang="es")
    page.draw_without_rendering()
    heat = page.axes[0]
    scale = next(ax for ax in page.axes if ax.get_label() == "<colorbar>")
    assert scale.get_position().x0 - heat.get_position().x1 < 0.08


@pytest.mark.parametrize(
    ("view", "asked"),
    [("unit", {"unit": 6}), ("unit", {"unit": -7}), ("ledger", {"unit": 6}), ("overview", {"unit": 6}),
     ("gates", {"row": 1}), ("gates", {"row": -1}), ("unit", {"unit": 0, "row": 1})],
)  # fmt: skip
def test_what_a_trace_does_not_have_is_refused_by_its_name(trace, view, asked):
    what = "row" if "row" in asked else "unit"
    with pytest.raises(SettingError, match=rf"^{what} must be from 0 to below"):
        trace.plot(view, **asked)


def test_text_under_an_axis_is_text(tmp_path):
    """Markup, escape sequences and what looks like a formula stand there as they are, or as signs."""
    text = "<b>$x^2$\x1b[31m\t\n\\"
    model = compuerta.LanguageModel(hidden_size=4, embedding_size=3, updates=1, batch_size=1, steps=4).fit(text * 9)
    ax = plots.gates(model.trace(text))
    shown = [label.get_text() for label in ax.get_xticklabels()]
    assert shown == ["<", "b", ">", r"\$", "x", "^", "2", r"\$", "␛", "[", "3", "1", "m", "⇥", "⏎", "\\"]
    plots.write(ax, tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    assert "\x1b" not in svg
    assert "<b>" not in svg


def test_a_forecast_with_its_intervals(rng):
    past, mean = rng.normal(size=60), rng.normal(size=6)
    lower, upper = {80: mean - 1, 95: mean - 2}, {80: mean + 1, 95: mean + 2}
    upper[95][3] = np.inf
    labels = [f"2024-{k}" for k in range(66)]
    ax = plots.forecast(past, mean, lower, upper, naive=mean + 0.5, labels=labels, name="$a$ <b>\x1b[1m", lang="es")
    before, ahead, naive = ax.lines
    np.testing.assert_array_equal(before.get_ydata(), past)
    np.testing.assert_array_equal(ahead.get_xydata(), np.stack([np.arange(60, 66), mean], axis=1))
    np.testing.assert_array_equal(naive.get_ydata(), mean + 0.5)
    for level, band in zip((95, 80), ax.collections, strict=True):
        assert band.get_label() == f"{level} %"
        corners = np.concatenate([path.vertices for path in band.get_paths()])
        assert np.isin(np.round(lower[level][:3], 9), np.round(corners[:, 1], 9)).all()
    assert np.isfinite(ax.get_ylim()).all()
    assert before.get_label() == r"\$a\$ <b>␛[1m"
    assert {label.get_text() for label in ax.get_xticklabels()} <= set(labels)
    assert len(plots.forecast(np.arange(1000.0), mean).lines[0].get_ydata()) == 100


def test_a_forecast_of_one_step_is_seen(rng):
    ax = plots.forecast(rng.normal(size=60), [0.5], {80: [-0.5]}, {80: [1.5]}, naive=[0.2])
    for line in ax.lines[1:]:
        assert (line.get_marker(), line.get_markevery()) == ("o", [0])
    corners = ax.collections[0].get_paths()[0].vertices
    assert np.ptp(corners[:, 0]) > 0.5
    assert (corners[:, 1].min(), corners[:, 1].max()) == (-0.5, 1.5)


def test_a_training_curve():
    ax = plots.training([2.0, float("nan"), 1.0, 1.0], 8, [(0, 3.0), (8, 1.5)], scale=2.0, unit="bits")
    curve, held = ax.lines
    np.testing.assert_array_equal(curve.get_ydata(), [4.0, np.nan, 2.0, 2.0])
    np.testing.assert_array_equal(curve.get_xdata(), [1, 3, 5, 7])
    np.testing.assert_array_equal(held.get_xydata(), [[0, 3.0], [8, 1.5]])
    assert plots.training([1.0], lang="en").get_ylabel() == "loss"


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_picture_is_the_same_file(tmp_path, trace, kind):
    for name in ("a", "b"):
        plots.write(plots.overview(trace, unit=2, lang="es"), tmp_path / f"{name}.{kind}")
    first, second = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("a", "b"))
    assert first == second
    assert first[:4] == (b"\x89PNG" if kind == "png" else b"<?xm")
    assert len(first) > 20_000
    with pytest.raises(SettingError, match="png"):
        plots.write(plots.gates(trace), tmp_path / "a.pdf")
    assert not (tmp_path / "a.pdf").exists()


def test_a_loaded_trace_and_a_gru_have_their_pictures(tmp_path, trace):
    trace.save(tmp_path / "a")
    assert len(Trace.load(tmp_path / "a").plot("overview", unit=1).axes) < len(trace.plot("overview", unit=1).axes)
    _, gru = GRU(2, 3, rng=0).trace(np.ones((9, 2)))
    assert len(gru.plot("unit", unit=0).lines) >= 3
    with pytest.raises(SettingError, match="view"):
        gru.plot("nothing")


def test_drawing_leaves_matplotlib_s_own_state_alone(trace):
    before = dict(matplotlib.rcParams)
    drawn = plots.overview(trace, unit=0)
    assert isinstance(drawn, Figure)
    assert dict(matplotlib.rcParams) == before
    on = Figure().add_subplot()
    assert plots.gates(trace, ax=on) is on


def test_without_matplotlib_the_error_names_the_extra(trace, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=re.escape('pip install "compuerta[plot]"')):
        trace.plot()


# ---- scales ---------------------------------------------------------------------------------------------------------


def test_the_scales():
    gate, memory = (
        Scale.of(gates.LSTM["f"], np.array([0.5])),
        Scale.of(gates.LSTM["c"], np.array([np.nan, -4.0, np.inf])),
    )
    assert (gate.low, gate.high, gate.signed) == (0, 1, False)
    assert (memory.low, memory.high, memory.signed) == (-4, 4, True)
    assert Scale.of(gates.LSTM["c"], np.array([np.nan])).high == 1
    assert Scale.of(gates.LSTM["h"], np.array([0.2])).high == 1
    assert Scale.of(gates.LSTM["h"], np.array([7.0])).high == 7  # of a cell whose output is not squashed
    assert [memory.colour(v) for v in (-4, 0, 4)] == [DIVERGING[0], DIVERGING[2], DIVERGING[4]]
    assert [gate.colour(v) for v in (0, 0.5, 1)] == [CIVIDIS[0], CIVIDIS[4], CIVIDIS[8]]
    assert memory.colour(np.nan) == GREY
    assert memory.colour(np.inf) == memory.colour(99) == DIVERGING[-1]
    huge = Scale.of(gates.LSTM["c"], np.array([1.7e308]))
    assert [huge.place(v) for v in (-1.7e308, 0.0, 1.7e308)] == [0, 0.5, 1]
    assert "".join(memory.sign(v) for v in (-4, -0.1, 0, 4, np.nan, -np.inf)) == "−··+?−"
    assert "".join(memory.height(v) for v in (-4, 0, 2, np.nan, -np.inf)) == "█▁▅?∞"


def test_text_is_read_on_every_colour():
    """4.5 to 1 at least, as WCAG asks for text."""

    def light(colour):
        linear = [v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for scale in (Scale(0, 1, signed=False), Scale(-1, 1, signed=True)):
        for v in np.linspace(scale.low, scale.high, 201):
            back = scale.colour(v)
            a, b = sorted((light(back), light(ink(back))))
            assert (b + 0.05) / (a + 0.05) >= 4.5
