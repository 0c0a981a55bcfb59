"""The page finds units and runs the model itself: the same as Python does, step by step, held or free."""

import re
from functools import partial

import numpy as np
import pytest

import compuerta
from compuerta import GRU, LSTM, LanguageModel
from compuerta.data import seasonal_series
from compuerta.see import html, search
from compuerta.see.scene import scene_of
from compuerta.texts import catalogue
from in_browser import TEXT, number
from variant_cases import CASES


@pytest.mark.parametrize("what", ["words", "quotes", "lines"])
def test_the_search_finds_what_python_finds(opened, trace, what):
    tab = opened(html.page(trace, lang="en"))
    tab.locator("#find select").select_option(what)
    tab.locator("#find button.main").click()
    found = search.find_units(trace, search.labels_of(trace.text, what))
    first = tab.locator("#find tbody tr").first
    assert number(first.locator("td").first.text_content()) == pytest.approx(found.best[0].score, abs=6e-4)
    unit, layer = re.search(r"of (\d+), layer (\d+)", first.locator("th").text_content()).groups()
    assert (int(unit) - 1, int(layer) - 1) == (found.best[0].unit, found.best[0].layer)
    assert number(first.locator("td").nth(1).text_content()) == pytest.approx(found.chance, abs=6e-4)


def test_what_is_marked_or_matched_can_be_looked_for(opened, trace):
    tab = opened(html.page(trace, lang="en"))
    tab.locator("#find select").select_option("brush")
    cells = tab.locator("#ribbon .cell")
    for a, b in ((30, 36), (150, 157)):  # drag over two stretches, one in each half
        cells.nth(a).scroll_into_view_if_needed()
        cells.nth(a).hover()
        tab.mouse.down()
        for k in range(a, b + 1):
            cells.nth(k).hover()
        tab.mouse.up()
    assert tab.inside("S.marks.flatMap((on, t) => on ? [t] : [])") == [*range(30, 37), *range(150, 158)]
    tab.locator("#find button.main").click()
    labels = np.isin(np.arange(200), tab.inside("S.marks.flatMap((on, t) => on ? [t] : [])"))
    best = search.find_units(trace, labels).best[0]
    assert number(tab.text("#find tbody td")) == pytest.approx(best.score, abs=6e-4)
    tab.locator("#find select").select_option("regex")
    tab.locator("#find input").fill("l[au]")
    tab.locator("#find button.main").click()
    best = search.find_units(trace, search.labels_of(trace.text, "l[au]")).best[0]
    assert number(tab.text("#find tbody td")) == pytest.approx(best.score, abs=6e-4)
    tab.locator("#find input").fill("(")
    assert "cannot be read" in tab.text("#find [role=status]")


def test_marking_by_hand_begins_anew_and_takes_back(opened, trace):
    tab = opened(html.page(trace, lang="en"), "#t=10")
    marked, kind = "S.marks?.flatMap((on, t) => on ? [t] : []) ?? []", "#find select"
    tab.locator(kind).select_option("vowel")
    assert len(tab.inside(marked)) > 50
    tab.locator(".ribbon").first.focus()

    def press(*keys):
        for key in keys:
            tab.keyboard.press(key)
        tab.wait_for_timeout(50)
        return tab.inside(marked)

    assert press(*["Shift+ArrowRight"] * 4) == [10, 11, 12, 13, 14]
    assert tab.locator(kind).input_value() == "brush"
    assert press(*["Shift+ArrowLeft"] * 2) == [10, 11, 12]
    assert press(*["ArrowRight"] * 3, *["Shift+ArrowLeft"] * 1) == [10, 11, 12, 14, 15]
    tab.locator("button.lang").click()
    assert press() == [10, 11, 12, 14, 15]
    assert tab.locator(kind).input_value() == "brush"
    tab.locator("#find button", has_text=catalogue("es")["page.find.clear"]).click()
    tab.locator(".ribbon").first.focus()
    assert press("Shift+ArrowRight") == [14, 15]


QUOTED = (
    "—Ya —dijo él—, voy a «ver 3 casas».\n—¿«Una “sola” casa»?\nEra 'su' casa, „deutsch“ y “so” it isn’t ‘one’.\n\n"
    'Lejos—\n"sí" y "no',
    '—Voy —dijo.\n—Ven.\nFin"ya" “so” ’x «y».',
)


@pytest.mark.parametrize("text", QUOTED, ids=["paragraphs", "lines"])
def test_every_preset_marks_what_python_marks(opened, text):
    text *= 3
    model = LanguageModel(hidden_size=3, embedding_size=2, batch_size=2, steps=8, updates=1).fit(text * 4)
    trace = model.trace(text)
    tab = opened(html.page(trace, lang="en"))
    for what in ("dialogue", "words", "quotes"):
        tab.locator("#find select").select_option(what)
        expected = search.labels_of(trace.text, what)
        assert expected.any()
        assert tab.inside("S.marks") == expected.tolist(), what


def test_a_search_leaves_out_what_is_not_finite_and_says_what_is_chance(opened, model, rng):
    scene = scene_of(model.trace(TEXT[:200]))
    for q in "ch":
        scene.values[q] = rng.normal(size=scene.values[q].shape).astype(np.float32)  # nothing follows anything
    scene.values["c"][1, 150] = np.nan
    scene.values["h"][0, 190, 3] = -np.inf
    tab = opened(html.page(scene, lang="en"))
    said = []
    for what in ("words", "vowel", "upper", "quotes"):
        tab.locator("#find select").select_option(what)
        tab.locator("#find button.main").click()
        cells = tab.locator("#find tbody tr").first.locator("td")
        score, chance = (number(cells.nth(k).text_content()) for k in (0, 1))
        said.append(tab.text("#find [role=status]").startswith("Nothing above chance."))
        assert said[-1] == (score <= chance)
        for row in tab.locator("#find tbody th").all():
            name, layer = row.text_content().strip(), {True: 2, False: 1}["layer 2" in row.text_content()]
            assert not (name.startswith("C ") and layer == 2)
            assert not (name.startswith("h of 4,") and layer == 1)
    assert True in said
    scene.values["c"][:, 3], scene.values["h"][:, 3] = np.nan, np.nan
    tab = opened(html.page(scene, lang="en"))
    tab.locator("#find button.main").click()
    assert "Every unit has NaN or infinity at some step" in tab.text("#find [role=status]")


def test_what_is_measured_and_forced_is_that_of_the_model_shown(opened, model):
    text = TEXT[:200]
    before = LanguageModel(
        hidden_size=12, num_layers=2, embedding_size=6, batch_size=4, steps=16, updates=5, seed=3
    ).fit(TEXT)
    tab = opened(html.page(model, text, other=before, lang="en", labels=("after", "early")))
    tab.locator("#compare button").first.click()
    tab.locator("#find button.main").click()
    row = tab.locator("#find tbody tr").first
    q, unit, layer = re.search(r"(\w) of (\d+), layer (\d+)", row.locator("th").text_content()).groups()
    q, unit, layer = q.lower(), int(unit) - 1, int(layer) - 1
    row.get_by_role("button", name="Measure").click()
    assert row.get_by_role("button", name="Measure").evaluate("(b) => b === b.getRootNode().activeElement")
    value = float(before.trace(text)[q, layer][0, :, unit].astype(float).mean())

    def bits(clamp=None):
        logits = before.trace(text, clamp=clamp).y[0, :-1].astype(float)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        ids = before.vocabulary_.encode(text)[1:]
        return -np.log2(p[np.arange(len(ids)), ids]).mean()

    clamp = {(q, layer, unit): value}
    told = row.get_by_role("status").text_content().replace(" bits per character", "")
    assert number(told.replace("= ", "")) == pytest.approx(bits(clamp) - bits(), abs=6e-4)
    row.get_by_role("button", name="See it").click()
    tab.until("S.shown === 'live'")
    np.testing.assert_allclose(tab.values("h", 1), before.trace(text, clamp=clamp)["h", 1][0], rtol=1e-5, atol=2e-5)
    assert tab.locator("#live button[aria-label^=Release]").count() == 1
    assert "early" in tab.text(".shown")
    tab.locator(".shown button").click()
    tab.go()
    assert tab.inside("[S.shown, S.clamps.length]") == ["other", 0]
    assert tab.locator("#live button[aria-label^=Release]").count() == 0
    assert tab.evaluate("document.querySelector('[data-ready]').shadowRoot.activeElement.type") == "range"


def test_a_text_that_is_edited_is_run_as_if_written_at_once(opened, model, trace):
    tab = opened(html.page(trace, lang="en"), "#q=h&p=1&u=4")
    box, text = tab.locator("#live textarea"), TEXT[:170]
    edits = [text, text + "la", text[:120] + "ola " + text[120:], text[:60], "a" + text[1:80], text[:140]]
    for clamp in ({}, {("h", 1, 4): 0.5}):
        if clamp:
            tab.locator("#live input[type=number]").first.fill("0.5")
            tab.locator("#live .field button").first.click()
        for now in edits:
            box.fill(now)
            tab.until(f"S.shown === 'live' && r.T === {len(now)}")
            ids = tab.inside("Array.from(r.ids)")
            y, told = model.model_.trace(np.array([ids]), clamp=clamp)
            for q, p in (("c", 0), ("h", 1)):
                np.testing.assert_allclose(tab.values(q, p), told[q, p][0], rtol=1e-5, atol=2e-5)
            logits = y[0].astype(float)
            likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            got = np.array(tab.inside("Array.from(r.probabilities)")).reshape(likely.shape)
            np.testing.assert_allclose(got, likely, atol=1e-4)
            words = tab.locator("#ribbon .word:not(:empty)").evaluate_all(
                "(all) => all.map((w) => [...w.querySelectorAll('b, i')].map((c) => c.textContent).join(''))"
            )
            guessed = iter(
                tab.inside(
                    "Array.from(r.ids, (_, t) => [...r.probabilities.subarray(t * data.vocabulary."
                    "length, (t + 1) * data.vocabulary.length)]).map((p) => p.indexOf(Math.max(...p)))"
                )
            )
            both = [[c + model.vocabulary_.characters[next(guessed)] for c in w] for w in re.findall(r"\S*\s|\S+", now)]
            assert words == ["".join(w).replace(" ", "␣").replace("\n", "⏎") for w in both]


def test_a_field_without_a_number_is_refused_with_a_word(opened, trace):
    tab = opened(html.page(trace, lang="en"))
    value, heat, seed = (tab.locator("#live input[type=number]").nth(k) for k in range(3))
    value.fill("")
    tab.locator("#live .field button").first.click()
    assert tab.inside("S.shown") == "base"
    assert tab.text("#live [role=status]") == "“Value of the clamp” needs a number."
    value.fill("0.5")
    tab.locator("#live .field button").first.click()
    assert tab.inside("S.clamps.map((c) => c.v)") == [0.5]
    write = tab.locator("#live button", has_text="Let it continue")
    for field, name in ((heat, "Temperature"), (seed, "Seed")):
        kept = field.input_value()
        field.fill("")
        write.click()
        assert tab.locator("#live pre").count() == 0
        assert tab.text("#live [role=status]") == f"“{name}” needs a number."
        field.fill(kept)
    heat.fill("9")
    write.click()
    assert heat.input_value() == "3"
    assert tab.locator("#live pre").count() == 2
    tab.locator("#live textarea").fill("la\u202e\u0301 ☂")
    assert "U+202E" in tab.text("#live [role=status]")
    assert "\u202e" not in tab.text("#live [role=status]")


def test_holding_a_unit_costs_what_it_costs_in_python(opened, model, trace):
    tab = opened(html.page(trace, lang="en"), "#q=h&p=1&u=4")
    tab.locator("#live input[type=number]").first.fill("0.5")
    tab.locator("#live .field button").first.click()
    clamp = {("h", 1, 4): 0.5}
    bits = []
    for each in (trace, model.trace(trace.text, clamp=clamp)):
        logits = each.y[0, :-1].astype(float)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        ids = model.vocabulary_.encode(trace.text)[1:]
        bits.append(-np.log2(p[np.arange(len(ids)), ids]).mean())
    tab.until("S.shown === 'live'")
    told = re.findall(r"\d\.\d{3}", tab.text("#live p:not(.lede):not(.quiet)"))
    assert [float(v) for v in told[:2]] == pytest.approx(bits, abs=6e-4)
    np.testing.assert_allclose(
        tab.values("c", 1), model.trace(trace.text, clamp=clamp)["c", 1][0], rtol=1e-5, atol=2e-5
    )


@pytest.mark.parametrize("make", [
    lambda: LSTM(3, 9, 2, rng=0), lambda: GRU(3, 9, 2, rng=0), lambda: GRU(3, 9, reset_after=False, rng=0),
], ids=["lstm", "gru", "gru-before"])  # fmt: skip
def test_one_step_at_a_time_the_page_computes_the_same(opened, make, rng, monkeypatch):
    layer = make()
    for name in layer.parameters:
        layer.parameters[name] = rng.normal(size=layer.parameters.shapes[name])  # biases too
    _, trace = layer.trace(rng.normal(size=(120, 3)))
    tab = opened(html.page(trace, lang="en"))
    tab.until("data.parity !== undefined")
    assert 0 < tab.inside("data.parity.worst") < 1e-6
    assert "agrees with the trace" in tab.text("#live")
    q = "f" if "f" in trace.names else "n"  # the sum behind a gate is what its activation saw
    tab.go(t=70, u=5, q=q)
    np.testing.assert_allclose(number(tab.text(".terms tr.sum td.n")), trace["z_" + q, 0][0, 70, 5], atol=6e-4)


def test_what_rounding_to_32_bits_explains_is_no_difference_and_a_wrong_weight_is(opened, rng):
    layer = LSTM(2, 120, rng=0)
    for name in layer.parameters:
        layer.parameters[name] = 2 * rng.normal(size=layer.parameters.shapes[name])  # large sums, and a large c
    x = rng.normal(size=(300, 2)).astype(np.float32)
    _, trace = layer.trace(x)
    w_x, w_h, b = (np.asarray(layer.parameters[f"{name}_l0"], float) for name in ("w_x", "w_h", "b"))
    c, h, apart = trace["c", 0][0].astype(float), trace["h", 0][0].astype(float), 0.0
    assert np.abs(c).max() > 10
    for t in range(0, 300, 50):  # the steps between two states that the file holds, in 64 bits
        i, f, g, o = np.split(w_x @ x[t] + w_h @ (h[t - 1] if t else 0 * h[0]) + b, 4)
        i, f, o = (1 / (1 + np.exp(-z)) for z in (i, f, o))
        c_t = f * (c[t - 1] if t else 0) + i * np.tanh(g)
        for exact, told in ((c_t, c[t]), (o * np.tanh(c_t), h[t])):
            apart = max(apart, (np.abs(exact - told) / np.maximum(1, np.abs(told))).max())
    assert apart > 1e-6
    scene = scene_of(trace)
    tab = opened(html.page(scene, lang="en"))
    tab.until("data.parity !== undefined")
    assert tab.inside("data.parity.worst") == pytest.approx(apart, rel=1e-5)
    assert apart < tab.inside("data.parity.allowed") < 1e-4
    assert "agrees with the trace" in tab.text("#live")
    scene.weights["w_h.0"] = scene.weights["w_h.0"] * 1.001
    tab = opened(html.page(scene, lang="en"))
    tab.until("data.parity !== undefined")
    assert "differs from the trace" in tab.text("#live")


def test_what_is_not_finite_is_the_same_where_it_is_not_finite_in_both(opened, rng):
    x = rng.normal(size=(12, 3))
    x[5, 1] = np.inf
    tab = opened(html.page(LSTM(3, 4, rng=0).trace(x)[1], lang="en"))
    tab.until("data.parity !== undefined")
    assert tab.inside("data.parity.worst") < 1e-6
    assert "agrees with the trace" in tab.text("#live")


MADE = {
    "gru": partial(GRU, dtype="float64"), "gru, reset before": partial(GRU, reset_after=False, dtype="float64"),
    "gru, other functions": partial(GRU, dtype="float64", gate_activation="HardSigmoid", input_activation="Elu"),
    "minlstm": partial(compuerta.MinLSTM, dtype="float64"),
} | {case: partial(LSTM, dtype="float64", **switches) for case, switches in CASES.items()}  # fmt: skip


@pytest.mark.parametrize("kind", MADE)
def test_every_cell_runs_live_in_both_directions_and_can_be_held(opened, kind, rng, monkeypatch):
    monkeypatch.setattr(html, "_STORED", 0)  # all is computed in the page
    layer = MADE[kind](3, 5, 2, bidirectional=True)
    for name, shape in layer.parameters.shapes.items():
        layer.parameters[name] = 0.8 * rng.normal(size=shape)
    x, state = rng.normal(size=(60, 3)).astype(np.float32), [rng.normal(size=(4, 1, w)) for w in layer.widths]
    state = None if layer.learn_state else state[0] if len(state) == 1 else tuple(state)
    _, free = layer.trace(x, state)
    tab = opened(html.page(free, lang="en"))

    def compared(trace):
        shown = tab.inside(
            "Object.fromEntries(Object.entries(r.values).map(([q, all]) => [q, all.map((v) => [...v])]))"
        )
        for q in trace.names:
            for p, values in enumerate(shown[q]):
                told = trace[q, p // 2, p % 2][0]
                got = np.array(values, float).reshape(60, -1)
                np.testing.assert_allclose(got[:, : told.shape[1]], told, rtol=1e-6, atol=1e-6, err_msg=f"{q} of {p}")
                assert np.isnan(got[:, told.shape[1] :]).all()

    compared(free)
    tab.until("data.parity !== undefined")
    assert 0 < tab.inside("data.parity.worst") < 1e-6
    gate = trace_gate(free)
    clamp = {("h", 1, 0, 1): -0.5, (gate, 0, 1, 2): 0.25, (gate, 1, 1, 3): 1.0}
    for (q, k, d, u), v in clamp.items():
        tab.go(p=2 * k + d, q=q, u=u)
        tab.locator("#live input[type=number]").first.fill(str(v))
        tab.locator("#live .field button").first.click()
    tab.until("S.shown === 'live' && S.clamps.length === 3")
    compared(layer.trace(x, state, clamp=clamp)[1])


def trace_gate(trace):
    """A gate that every cell of the kind has, and that moves."""
    return next(q for q in ("f", "z") if q in trace.names)


def test_a_trace_stored_in_part_is_computed_again_from_stored_states(opened, model, trace, monkeypatch):
    monkeypatch.setattr(html, "_STORED", 0)
    tab = opened(html.page(trace, lang="en"))
    for key in "figcoh":
        np.testing.assert_allclose(tab.values(key, 1), trace[key, 1][0], rtol=1e-5, atol=2e-5)
    tab.until("data.parity !== undefined")
    assert 0 < tab.inside("data.parity.worst") < 1e-6


def test_a_series_and_its_forecast(opened):
    series = seasonal_series(96, period=12, rng=0)
    model = compuerta.Forecaster(horizon=6, hidden_size=8, members=1, max_epochs=4, origins=0).fit(series)
    tab = opened(html.page(model, lang="es"), "#t=3&q=f&u=2")
    assert tab.locator("#series .chart").is_visible()
    assert tab.locator("#find").count() == 0
    stored = tab.inside("Array.from(r.forecast)")
    tab.locator("#live input[type=number]").first.fill("1")
    tab.locator("#live .field button").first.click()
    forced = tab.inside("Array.from(data.runs.live.forecast)")
    assert np.abs(np.subtract(stored, forced)).max() > 1e-6
    tab.locator("#live .row-of button", has_text="✕").click()
    np.testing.assert_allclose(tab.inside("Array.from(r.forecast)"), stored)
    assert tab.text("#live .lede") == catalogue("es")["page.live.lede.series"]  # there is nothing to write in


def test_a_forecaster_that_went_wrong_has_a_page(opened):
    model = compuerta.Forecaster(horizon=3, hidden_size=4, members=1, max_epochs=1, origins=0)
    model.fit(seasonal_series(60, period=6, rng=0))
    network = model.members_[0][1]
    for name, shape in network.parameters.shapes.items():
        network.parameters[name] = np.full(shape, np.nan)
    tab = opened(html.page(model, lang="en"), "#t=3&q=f&u=2")
    tab.locator("#live .field button").first.click()
    assert np.isnan(np.array(tab.inside("data.runs.live.forecast.map(Number)"), float)).all()
