"""An explanation is true: its numbers are the step's, its arithmetic adds up, its sentences hold for any values."""

import json
import re

import numpy as np
import pytest

import compuerta
from compuerta import cli, gates, textbook
from compuerta.errors import NonFiniteError, SettingError, ShapeError
from compuerta.see import explain
from compuerta.texts import LANGUAGES

SECOND_SEED = {
    "x_t": "0.37454012 0.95071431 0.73199394 0.59865848",
    "h_{t-1}": "0.15601864 0.15599452 0.05808361",
    "C_{t-1}": "0.86617615 0.60111501 0.70807258",
    "f_t": "0.71953755 0.73617388 0.90950893",
    "i_t": "0.90876682 0.81611384 0.92843489",
    "C̃_t": "0.90783988 0.99039234 0.9685002",
    "C_t": "1.44826102 1.25079807 1.54318771",
    "o_t": "0.91693716 0.93818735 0.75460941",
    "h_t": "0.8209783 0.7960588 0.68869764",
}


def some_step(seed, hidden=4, inputs=3, scale=2.0):
    """A step with weights of both signs in the middle of a sequence."""
    rng = np.random.default_rng(seed)
    cell = textbook.LSTM(inputs, hidden, rng)
    for k in textbook.BLOCKS:
        setattr(cell, "W" + k, scale * getattr(cell, "W" + k))
        setattr(cell, "b" + k, rng.standard_normal((hidden, 1)))
    return cell.trace(2 * rng.standard_normal((5, inputs)))[-1]


def joined(text):
    """The text without its line breaks, for sentences."""
    return " ".join(text.split())


# ---- the second seed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_command_is_the_second_seed(lang, capsys):
    args = ["explain", "--seed", "42", "--input-size", "4", "--hidden-size", "3", "--lang", lang]
    assert cli.run(args) == 0
    shown, err = capsys.readouterr()
    assert err == ""
    lines = [line.strip() for line in shown.splitlines()]
    for symbol, numbers in SECOND_SEED.items():
        assert f"{symbol} = {numbers}" in lines
    concatenation = f"{SECOND_SEED['h_{t-1}']} {SECOND_SEED['x_t']}"
    assert concatenation in lines
    assert "1: 0.7195·0.8662 + 0.9088·0.9078 = 0.6232 + 0.8250 = 1.4483" in shown


def test_the_command_needs_no_options(capsys):
    assert cli.run(["explain", "--lang", "en"]) == 0
    assert "f_t = " + SECOND_SEED["f_t"] in capsys.readouterr().out


def test_what_it_says_about_the_second_seed():
    step = explain.drawn_step(42, 4, 3)
    es, en = (joined(explain.explain_step(step, lang)) for lang in ("es", "en"))
    assert "la unidad 3 es la que mayor parte de su memoria conserva, el 91 %; la unidad 1 es la que más olvida" in es
    assert "La que más escribe es la unidad 3: +0.90, junto a lo que conservó, +0.64." in es
    assert "la unidad 2 es la que más muestra de su memoria, el 94 %" in es
    assert "the memory grows, away from zero, in units 1, 2 and 3." in en
    assert "every candidate is positive" in en
    assert "tanh squashes its memory +1.45 to +0.90, and the output gate lets 92 % of that out: +0.82." in en


def test_draws_are_those_of_the_notebook():
    np.random.seed(7)
    x, h, C = np.random.rand(2, 1), np.random.rand(5, 1), np.random.rand(5, 1)
    cell = textbook.LSTM(2, 5, rng=0)
    for k in "fiCo":
        setattr(cell, "W" + k, np.random.rand(5, 7))
        setattr(cell, "b" + k, np.random.rand(5, 1))
    expected, got = cell.step(x, h, C), explain.drawn_step(7, 2, 5)
    assert expected.keys() == got.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name])


def test_json_holds_every_number(capsys):
    assert cli.run(["explain", "--json", "--seed", "3", "--hidden-size", "2", "--input-size", "1"]) == 0
    got = json.loads(capsys.readouterr().out)
    step = explain.drawn_step(3, 1, 2)
    assert (got["seed"], got["input_size"], got["hidden_size"]) == (3, 1, 2)
    for name, value in step.items():
        assert got[name] == value.ravel().tolist()
    np.testing.assert_array_equal(np.add(got["kept"], got["written"]), step["C"].ravel())


# ---- true for any values --------------------------------------------------------------------------------------------

NUMBER = r"\(?-?\d+\.\d{4}\)?"


@pytest.mark.parametrize("seed", range(12))
def test_arithmetic_adds_up(seed):
    step = some_step(seed)
    text = explain.explain_step(step, "en")
    memory = re.findall(
        rf"^    unit (\d): ({NUMBER}·{NUMBER} \+ {NUMBER}·{NUMBER}) = (\S+ [+-] \S+) = (\S+)$", text, re.M
    )
    output = re.findall(rf"^    unit (\d): {NUMBER}·tanh\((\S+)\) = ({NUMBER}·{NUMBER}) = (\S+)$", text, re.M)
    assert len(memory) == len(output) == 4
    for unit, products, sums, C in memory:
        expected = step["C"][int(unit) - 1, 0]
        assert float(C) == pytest.approx(expected, abs=6e-5)
        assert eval(products.replace("·", "*")) == pytest.approx(expected, abs=5e-4)
        assert eval(sums) == pytest.approx(expected, abs=2e-4)
    for unit, C, product, h in output:
        assert float(C) == pytest.approx(step["C"][int(unit) - 1, 0], abs=6e-5)
        assert float(h) == pytest.approx(step["h"][int(unit) - 1, 0], abs=6e-5)
        assert eval(product.replace("·", "*")) == pytest.approx(step["h"][int(unit) - 1, 0], abs=2e-4)


def units_named(pattern, text):
    found = re.search(pattern, text)
    return {int(n) for n in re.findall(r"\d+", found.group(1))} if found else set()


@pytest.mark.parametrize("seed", range(30))
def test_sentences_hold(seed):
    step = {name: v.ravel() for name, v in some_step(seed).items()}
    text = joined(explain.explain_step(step, "en"))
    f, g, C, C_prev = step["f"], step["C_tilde"], step["C"], step["C_prev"]
    most, least = (
        int(n) for n in re.search(r"unit (\d) keeps the largest.*?unit (\d) forgets the most", text).groups()
    )
    assert (most - 1, least - 1) == (f.argmax(), f.argmin())

    forgetting = int((f < 0.5).sum())
    expected = {0: "No unit forgets", 1: f"Only unit {f.argmin() + 1} forgets", 4: "All of them forget"}
    assert expected.get(forgetting, f"{forgetting} of the 4 units forget") + " more than half." in text

    where = r"units? ((?:\d(?:, | and )?)+)"
    if (g > 0).any() and (g < 0).any():
        assert units_named(where + " would add", text) == set(np.flatnonzero(g > 0) + 1)
        assert units_named(where + " would subtract", text) == set(np.flatnonzero(g < 0) + 1)
    turned = C * C_prev < 0
    assert units_named("changes its sign in " + where, text) == set(np.flatnonzero(turned) + 1)
    assert units_named("away from zero, in " + where, text) == set(np.flatnonzero(~turned & (abs(C) > abs(C_prev))) + 1)
    assert units_named("towards zero in " + where, text) == set(np.flatnonzero(~turned & (abs(C) < abs(C_prev))) + 1)

    writer, amount = re.search(r"The largest write is that of unit (\d): (\S+),", text).groups()
    written = step["i"] * g
    assert int(writer) - 1 == abs(written).argmax()
    assert float(amount) == pytest.approx(written[int(writer) - 1], abs=6e-3)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("hidden", [1, 2, 8, 9, 50, 1000])
def test_any_size_fits_a_page(hidden, lang):
    text = explain.explain_step(some_step(hidden, hidden, inputs=9, scale=1.0), lang)
    assert max(map(len, text.splitlines())) <= 81  # a combining tilde takes no column
    assert len(text.splitlines()) < 140
    assert "{" not in text.replace("_{t-1}", "")


@pytest.mark.parametrize("before", [0.0, 0.5, -0.5])
@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_cell_that_does_nothing(before, lang):
    cell = textbook.LSTM(1, 1, rng=0)
    for k in "fiCo":
        setattr(cell, "W" + k, np.zeros((1, 2)))
    cell.bf[:] = 100.0
    text = joined(explain.explain_step(cell.step(np.ones((1, 1)), np.zeros((1, 1)), np.full((1, 1), before)), lang))
    stays = {"en": "the memory stays as it is", "es": "la memoria queda como estaba"}[lang]
    assert stays in text
    assert {"en": "proposes no change", "es": "no propone ningún cambio"}[lang] in text


# ---- of a model's own trace -----------------------------------------------------------------------------------------

CELLS = {
    "lstm": (compuerta.LSTM, {}),
    "peepholes, coupled": (compuerta.LSTM, {"peepholes": True, "coupled": True}),
    "no output gate": (compuerta.LSTM, {"output_gate": False}),
    "gru": (compuerta.GRU, {}),
    "gru, reset before": (compuerta.GRU, {"reset_after": False}),
}


def some_trace(rng, kind, hidden=4, **more):
    cls, switches = CELLS[kind]
    layer = cls(3, hidden, 2, bidirectional=True, dtype="float64", rng=0, **switches)
    layer.parameters.writable()[...] = rng.normal(size=layer.parameters.size)
    return layer.trace(rng.normal(size=(2, 6, 3)), **more)[1]


def told(text):
    """The vectors of an explanation by their symbols."""
    return {
        symbol: [float(v) for v in numbers.split()]
        for symbol, numbers in re.findall(r"^ +(\S+) = ([-\d. e]+)$", text, re.M)
    }


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("kind", CELLS)
def test_every_number_told_is_that_of_the_trace(rng, kind, lang):
    trace = some_trace(rng, kind, lengths=[6, 4])
    symbols = {"c": "C_t", "g": "C̃_t"}
    if "gru" in kind:
        past = "U_n·(r_t⊙h_{t-1})" if "before" in kind else "r_t⊙(U_n·h_{t-1} + b_{hn})"
        assert past in trace.explain(0, lang=lang)
    for direction, t in ((0, 3), (0, 0), (1, 3), (1, 1)):
        text = explain.explain_trace(trace, t, layer=1, row=1, direction=direction, lang=lang, width=200)
        vectors = told(text)
        before = t - 1 if direction == 0 else t + 1
        for key in trace.names_of(1):
            assert vectors[symbols.get(key, f"{key}_t")] == pytest.approx(trace[key, 1, direction][1, t], abs=1e-8)
        for key in {"h", "c"} & set(trace.names_of(1)):
            expected = trace[key, 1, direction][1, before] if 0 <= before < 4 else np.zeros(4)
            assert vectors[key.replace("c", "C") + "_{t-1}"] == pytest.approx(expected, abs=1e-8)
        assert vectors["x_t"] == pytest.approx(trace.inputs(1)[1, t], abs=1e-8)
        sums = re.findall(r": ([^:=]+) = ([^=]+) = (\S+)$", text, re.M)
        assert len(sums) == (8 if "c" in trace.names_of(1) else 4)
        for products, parts, result in sums:
            value = pytest.approx(float(result), abs=3e-4)
            assert eval(products.replace("·", "*"), {"tanh": np.tanh}) == value
            assert eval(parts.replace("·", "*")) == value


@pytest.mark.parametrize("seed", range(10))
def test_sentences_about_a_gru_hold(seed):
    trace = some_trace(np.random.default_rng(seed), "gru")
    text = joined(trace.explain(4, lang="en"))
    r, z, n, h, before = (trace[k, 0][0, t] for k, t in (("r", 4), ("z", 4), ("n", 4), ("h", 4), ("h", 3)))
    most, least = re.search(r"unit (\d) lets the largest.*?; unit (\d) keeps the most back", text).groups()
    assert (int(most) - 1, int(least) - 1) == (r.argmax(), r.argmin())
    through = int((r > 0.5).sum())
    which = {0: "No unit lets", 1: f"Only unit {r.argmax() + 1} lets", 4: "All of them let"}
    assert which.get(through, f"{through} of the 4 units let") + " more than half through." in text
    most, least = re.search(r"unit (\d) keeps the largest.*?unit (\d) forgets the most", text).groups()
    assert (int(most) - 1, int(least) - 1) == (z.argmax(), z.argmin())
    where = r"units? ((?:\d(?:, | and )?)+)"
    if (n > 0).any() and (n < 0).any():
        assert units_named(where + " would add", text) == set(np.flatnonzero(n > 0) + 1)
    grown = (h * before >= 0) & (abs(h) > abs(before))
    assert units_named("away from zero, in " + where, text) == set(np.flatnonzero(grown) + 1)
    writer, written, kept = re.search(
        r"The largest write is that of unit (\d): (\S+), next to .* kept, (\S+)\.$", text
    ).groups()
    parts = (1 - z) * n
    assert int(writer) - 1 == abs(parts).argmax()
    assert float(written) == pytest.approx(parts[int(writer) - 1], abs=6e-3)
    assert float(kept) == pytest.approx((z * before)[int(writer) - 1], abs=6e-3)


@pytest.mark.parametrize("kind", CELLS)
def test_one_unit_goes_by_its_number(rng, kind):
    trace = some_trace(rng, kind)
    text = trace.explain(2, unit=3, lang="en")
    assert "6 inputs" not in text
    assert text.splitlines()[0].endswith("with 3 inputs and 4 units: unit 4")
    assert set(re.findall(r"unit \d", text)) == {"unit 4"}
    vectors = told(text)
    for key in set(trace.names_of(0)) - {"c", "g"}:
        assert vectors[f"{key}_t"] == pytest.approx(trace[key, 0][0, 2, 3:], abs=1e-8)


def test_a_step_of_a_part_follows_what_came_before_it_in_the_whole(rng):
    trace = some_trace(rng, "gru")
    part = trace.select(steps=[0, 2, 5], rows=[1])
    assert part.explain(2, lang="en") == trace.explain(5, row=1, lang="en")
    assert part.select(steps=[1, 2]).explain(1, lang="en") == trace.explain(5, row=1, lang="en")


def test_what_was_held_is_told_and_what_does_not_follow_refused(rng):
    held = {("z", 0, 0, 1): 0.25, ("z", 0, 0, 3): 0.5, ("h", 1, 0, 2): 0.7}
    trace = some_trace(rng, "gru", clamp=held)
    assert "Held at a value, not computed: units 2 and 4." in joined(trace.explain(2, lang="en"))
    assert "Held at a value, not computed: unit 4." in joined(trace.explain(2, unit=3, lang="en"))
    for free in (trace.explain(2, unit=0, lang="en"), trace.explain(2, direction=1, lang="en")):
        assert "Clamps" not in free
    with pytest.raises(SettingError, match=re.escape("(h, unit 3) was held")):
        trace.explain(2, layer=1, lang="en")
    assert "unit 2" in trace.explain(2, unit=1, layer=1, lang="en")


def test_ids_are_told_as_the_columns_that_they_pick(rng):
    layer = compuerta.GRU(5, 2, tokens=True, rng=0)
    ones = compuerta.GRU(5, 2, rng=0)
    ids = np.array([4, 1, 3])
    expected = ones.trace(np.eye(5)[ids])[1].explain(1, lang="en")
    assert told(layer.trace(ids)[1].explain(1, lang="en"))["x_t"] == told(expected)["x_t"] == [0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("switches", "named"),
    [
        ({"projection_size": 2}, "projection"), ({"layer_norm": "cell"}, "layer_norm"),
        ({"zoneout": (0.1, 0.0)}, "zoneout"), ({"full_gate_recurrence": True}, "full_gate_recurrence"),
        ({"output_activation": "Identity"}, "output_activation"), ({"cell_clip": 1.0}, "cell_clip"),
    ],
)  # fmt: skip
def test_cells_whose_equations_are_others_are_refused(switches, named):
    _, trace = compuerta.LSTM(3, 4, rng=0, **switches).trace(np.ones((5, 3)))
    with pytest.raises(SettingError, match=f"this one has {named} too"):
        trace.explain(2)


def test_what_is_not_there_cannot_be_explained(rng, tmp_path):
    with pytest.raises(SettingError, match="this layer is a MinLSTM"):
        compuerta.MinLSTM(3, 4, rng=0).trace(np.ones((5, 3)))[1].explain(2)
    trace = some_trace(rng, "lstm", lengths=[6, 4])
    for place in ({"t": 6}, {"t": -1}, {"t": 4, "row": 1}, {"t": 0, "unit": 4}, {"t": 0, "layer": 2},
                  {"t": 0, "row": 2}, {"t": 0, "direction": 2}):  # fmt: skip
        with pytest.raises(SettingError, match="must be from 0 to below"):
            trace.explain(**place)
    trace.save(tmp_path / "a")
    for other in (compuerta.layers.Trace.load(tmp_path / "a"), trace.select(units=[1]), trace.gradients(step=0)):
        with pytest.raises(SettingError, match="does not know what its layer read"):
            other.explain(0)


@pytest.mark.parametrize("width", [44, 60, 80])
@pytest.mark.parametrize("hidden", [4, 40])
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_narrow_page(rng, kind, lang, hidden, width):
    trace = some_trace(rng, kind, hidden)
    lines = explain.explain_trace(trace, 2, lang=lang, width=width).splitlines()
    equation = re.compile(r"_t = (σ|tanh)")  # stays on its line
    assert all(len(line) <= width + 1 for line in lines if not equation.search(line))
    wide, here = explain.explain_trace(trace, 2, lang=lang, width=200), {"en": "Here", "es": "Aquí"}[lang]
    assert joined("\n".join(lines)).split(here)[-1] == joined(wide).split(here)[-1]


def test_nan_is_refused():
    step = some_step(0)
    step["C"][1] = np.nan
    with pytest.raises(NonFiniteError, match="explain_step: C must be finite"):
        explain.explain_step(step, "en")


def test_paint_touches_no_text():
    step = some_step(1)
    painted = explain.explain_step(step, "es", paint=lambda text, style: f"<{style}>{text}</>")
    assert re.sub(r"<[^<>]*>", "", painted) == explain.explain_step(step, "es")
    assert "<f>" in painted
    assert "<title>" in painted


# ---- small change ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("v", [0.96850020, 1.0, 0.0, -0.5, 123.456, 0.1234567891, 1e-7, -3.25e12])
def test_numbers_have_the_digits_of_numpy(v):
    assert float(explain.number(v)) == pytest.approx(v, rel=1e-8, abs=5e-9)
    if 1e-4 < abs(v) < 1e5:
        shown = np.array2string(np.array([v]), precision=8).strip("[] ")
        assert explain.number(v).removesuffix(".0") == shown.removesuffix(".")


@pytest.mark.parametrize(("share", "full"), [(0, 0), (1, 20), (0.5, 10), (0.05, 1), (-1, 0), (2, 20)])
def test_bar(share, full):
    assert explain.bar(share).count("█") == full
    assert len(explain.bar(share)) == 20


@pytest.mark.parametrize("v", [-1, -0.73, -0.02, 0, 0.02, 0.5, 1])
def test_signed_bar_mirrors(v):
    left, right = explain.signed_bar(v).split("│")
    assert len(left) == len(right) == 10
    assert explain.signed_bar(-v) == right[::-1].replace("▌", "▐") + "│" + left[::-1].replace("▐", "▌")
    assert (v < 0) <= (set(right) == {"·"})


# ---- one unit along a word ------------------------------------------------------------------------------------------


def unit_trace(f, written, seed=0):
    """A trace with these forget gates and these writes, from an empty memory."""
    f, written = np.asarray(f, float), np.asarray(written, float)
    c = np.zeros(len(f))
    for t in range(len(f)):
        c[t] = f[t] * (c[t - 1] if t else 0.0) + written[t]
    o = np.random.default_rng(seed).random(len(f))
    i = np.minimum(np.abs(written), 1.0)
    return {
        "f": f,
        "i": i,
        "g": np.divide(written, i, out=np.zeros_like(i), where=i > 0),
        "c": c,
        "o": o,
        "h": o * np.tanh(c),
    }


@pytest.mark.parametrize("lang", LANGUAGES)
def test_table_shows_every_character_and_every_number(lang):
    word = "doscientos"
    rng = np.random.default_rng(3)
    trace = unit_trace(rng.random(10), rng.uniform(-1, 1, 10))
    lines = explain.gate_table(word, trace, lang).splitlines()
    assert lines[0].split() == list("figoch")
    for t, char in enumerate(word):
        cells = [cell for cell in lines[1 + t].split() if cell[-1] not in "█▏▎▍▌▋▊▉·"]
        assert cells[0] == char
        assert [float(cell) for cell in cells[1:]] == pytest.approx([trace[k][t] for k in "figoch"], abs=6e-3)
        assert [cell[0] in "+-" or cell == "0.00" for cell in cells[1:]] == [False, False, True, False, True, True]
    assert max(map(len, lines)) <= 80
    assert {"en": "forget gate", "es": "compuerta de olvido"}[lang] in joined("\n".join(lines))


HELD = ([0.5, 1.0, 1.0, 0.9, 0.2, 1.0], [0, 0.9, 0, 0.1, 0.3, 0])
KEPT = ([0.1, 0.95, 0.95, 0.95, 0.95, 0.95], [0.8, 0, 0, 0, 0, 0])
STORIES = [
    (*HELD, "writes the most at “b” (step 2): +0.90."),
    (*HELD, "for 2 characters, until “e” (step 5)."),
    (*HELD, "at “e” (step 5): it loses 80 % of what it remembered (+0.91), which is 0.73."),
    ([0.5, 1.0, 0.9, 0.4, 1.0, 1.0], [0, -0.9, 0, 0, 0, 0], "for 1 character, until “d” (step 4)."),
    ([1.0, 0.3, 1.0, 1.0, 1.0, 1.0], [-0.9, 0, 0, 0, 0, 0], "very next character, “b” (step 2), only 30 % is left."),
    (*KEPT, "to the end, where 77 % of it is left."),
    (*KEPT, "From the second character on it never forgets more than a tenth"),
]


@pytest.mark.parametrize(("f", "written", "sentence"), STORIES)
def test_story(f, written, sentence):
    assert sentence in explain.memory_story("abcdef", unit_trace(f, written), "en")
    assert len(explain.memory_story("abcdef", unit_trace(f, written), "es")) > 60


@pytest.mark.parametrize("lang", LANGUAGES)
def test_table_of_little(lang):
    assert explain.gate_table("", unit_trace([], []), lang).count("\n") >= 2
    assert "+0.40" in explain.gate_table("a", unit_trace([0.5], [0.4]), lang)
    only = explain.gate_table(["a", "b"], {"r": np.array([0.1, 0.2]), "h": np.array([0.0, -0.3])}, lang, kind=gates.GRU)
    assert only.splitlines()[0].split() == ["r", "h"]


def test_a_narrow_table_has_no_bars():
    trace = unit_trace([0.5] * 4, [0.5, -0.2, 0, 0])
    text = explain.gate_table("abcd", trace, "en", width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert "█" not in text
    rows = [line.split() for line in text.splitlines()[1:5]]
    wide = [line.split() for line in explain.gate_table("abcd", trace, "en").splitlines()[1:5]]
    assert rows == [[word for word in row if word[-1] not in "█▏▎▍▌▋▊▉·"] for row in wide]


def test_table_keeps_its_columns():
    chars = [" ", "\n", "\x1b", "日", "\u0301", "ñ", ""]
    lines = explain.gate_table(chars, unit_trace([0.5] * 7, [0.5, -20.0, 0, 0, 0, 0, 0]), "en").splitlines()[1:8]
    assert [line.split()[0] for line in lines[:6]] == ["␣", "⏎", "\ufffd", "日", "◌\u0301", "ñ"]
    assert "\x1b" not in "".join(lines)
    columns = {len(line.replace("\u0301", "").replace("日", "日 ")) for line in lines}
    assert len(columns) == 1


def test_table_refuses_what_does_not_fit():
    trace = unit_trace([0.5, 0.5], [0.1, 0.1])
    with pytest.raises(ShapeError, match="f must hold 3 values"):
        explain.gate_table("abc", trace, "en")
    trace["c"][0] = np.inf
    with pytest.raises(NonFiniteError, match="gate_table: c must be finite"):
        explain.gate_table("ab", trace, "en")
