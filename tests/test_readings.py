"""Readings against brute force: every sum written out as loops, AUROC by its definition, gradients one at a time."""

import itertools
import math

import numpy as np
import pytest

import compuerta
from compuerta import GRU, LSTM, MinLSTM
from compuerta.errors import NonFiniteError, SettingError, ShapeError
from compuerta.layers import Trace
from compuerta.layers.trace_sources import Stored
from compuerta.see import readings, search

CELLS = [
    (LSTM, {}), (LSTM, {"coupled": True, "peepholes": True}), (LSTM, {"forget_gate": False}),
    (LSTM, {"projection_size": 2, "layer_norm": "cell"}), (GRU, {}), (GRU, {"reset_after": False}), (MinLSTM, {}),
]  # fmt: skip


def traced(cell, switches, rng, rows=3, steps=9, lengths=(9, 5, 1), dtype="float64"):
    layer = cell(2, 4, 2, bidirectional=True, dtype=dtype, rng=0, **switches)
    layer.parameters.writable()[...] = rng.normal(size=layer.parameters.size) * 0.7
    state = [rng.normal(size=part.shape) for part in layer.zero_state(rows)]
    given = tuple(state) if len(state) > 1 else state[0]
    return layer.trace(rng.normal(size=(rows, steps, 2)), given, np.array(lengths))[1], state


def by_hand(trace, state, layer, direction, row, unit):
    """Kept share, write, memory and start of one unit, in the order of reading, from the papers' equations."""
    length = trace.lengths[row]
    order = list(range(length))[:: -1 if direction else 1]
    values = {k: [float(trace[k, layer, direction][row, t, unit]) for t in order] for k in trace.names_of(layer)
              if k != "h" or "c" not in trace.names}  # fmt: skip
    part = state[1] if "c" in values else state[0]
    start = float(part[layer * 2 + direction, row, unit])
    if "c" in values:
        keep, write, memory = values["f"], [i * g for i, g in zip(values["i"], values["g"], strict=True)], values["c"]
    elif "z" in values:
        keep, write, memory = (
            values["z"],
            [(1 - z) * n for z, n in zip(values["z"], values["n"], strict=True)],
            values["h"],
        )
    else:
        both = [f + i for f, i in zip(values["f"], values["i"], strict=True)]
        keep = [f / b for f, b in zip(values["f"], both, strict=True)]
        write = [i * g / b for i, g, b in zip(values["i"], values["g"], both, strict=True)]
        memory = values["h"]
    return order, keep, write, memory, start


@pytest.mark.parametrize(("cell", "switches"), CELLS)
def test_the_ledger_is_the_sum_written_out_and_sums_to_the_memory(rng, cell, switches):
    trace, state = traced(cell, switches, rng)
    for layer, direction, row, unit in itertools.product(range(2), range(2), range(3), (0, 3)):
        order, keep, write, memory, start = by_hand(trace, state, layer, direction, row, unit)
        for at, position in enumerate(order):
            told = readings.ledger(trace, position, layer, direction=direction, row=row)
            for s, where in enumerate(order):
                share = math.prod(keep[s + 1 : at + 1]) * write[s] if s <= at else 0.0
                assert told.shares[where, unit] == pytest.approx(share, rel=1e-12, abs=1e-15)
            assert told.start[unit] == pytest.approx(math.prod(keep[: at + 1]) * start, rel=1e-12, abs=1e-15)
            assert told.value[unit] == memory[at]
            assert abs(told.start[unit] + told.shares[:, unit].sum() - memory[at]) < 1e-12
            assert abs(told.rest[unit]) < 1e-12


def test_the_rest_of_a_ledger_tells_what_the_equation_does_not(rng):
    layer = LSTM(2, 4, dtype="float64", rng=0)
    _, trace = layer.trace(rng.normal(size=(9, 2)), clamp={("c", 0, 1): 2.0})
    told = readings.ledger(trace)
    assert abs(told.rest[1]) > 0.1
    assert abs(np.delete(told.rest, 1)).max() < 1e-12
    np.testing.assert_allclose(told.start + told.shares.sum(axis=0) + told.rest, told.value, rtol=0, atol=1e-14)


def test_the_ledger_of_a_part_begins_where_the_part_begins(rng):
    layer = LSTM(2, 4, bidirectional=True, dtype="float64", rng=0)
    _, trace = layer.trace(rng.normal(size=(9, 2)))
    part = trace.select(steps=slice(3, 7), units=[2, 0])
    for direction in range(2):
        told = readings.ledger(part, 2, direction=direction)
        np.testing.assert_allclose(
            told.start + told.shares.sum(axis=0), trace["c", 0, direction][0, 5, [2, 0]], atol=1e-13
        )
        whole = readings.ledger(trace, 5, direction=direction)
        np.testing.assert_allclose(told.shares, whole.shares[3:7][:, [2, 0]], atol=1e-15)


@pytest.mark.parametrize(("cell", "switches"), CELLS)
def test_a_ledger_survives_a_file(rng, tmp_path, cell, switches):
    trace, _ = traced(cell, switches, rng)
    trace.save(tmp_path / "a")
    again = readings.ledger(Trace.load(tmp_path / "a"), 3, 1, direction=1)
    for name in ("shares", "start", "value", "rest"):
        assert np.array_equal(getattr(again, name), getattr(readings.ledger(trace, 3, 1, direction=1), name))


@pytest.mark.parametrize("steps", [[0, 2, 5], slice(None, None, -1), slice(1, 8, 3)])
def test_what_a_memory_kept_between_steps_that_are_left_out_is_not_told(rng, steps):
    """The equation leads from each step to the next; across a gap its shares would be wrong."""
    trace, _ = traced(LSTM, {}, rng)
    for reading in (readings.ledger, readings.half_life, readings.memory_span):
        with pytest.raises(SettingError, match="consecutive steps"):
            reading(trace.select(steps=steps))
    assert readings.saturation(trace.select(steps=[0, 2, 5])).steps > 0


@pytest.mark.parametrize(("cell", "switches"), CELLS)
def test_half_lives_by_the_product(rng, cell, switches):
    trace, state = traced(cell, switches, rng)
    for direction, unit in itertools.product(range(2), range(4)):
        order, keep, *_ = by_hand(trace, state, 1, direction, 0, unit)
        life = readings.half_life(trace, 1, direction=direction)[unit]
        held = readings.memory_span(trace, 1, direction=direction)[:, unit]
        if math.prod(keep) < 1:  # (∏k)^(1/T), life steps in a row, is a half
            assert math.prod(keep) ** (life / len(keep)) == pytest.approx(0.5)
        else:
            assert life == math.inf
        for at, position in enumerate(order):
            left, expected = 1.0, math.inf
            for after, k in enumerate(keep[at + 1 :], 1):
                left *= k
                if left < 0.5:
                    expected = after
                    break
            assert held[position] == expected


def test_half_lives_at_the_ends(rng):
    layer = LSTM(2, 3, rng=0)
    _, trace = layer.trace(np.ones((5, 2)), clamp={("f", 0, 0): 0.0, ("f", 0, 1): 1.0})
    assert readings.half_life(trace)[:2].tolist() == [0.0, math.inf]
    _, trace = layer.trace(np.full((5, 2), np.nan))
    assert np.isnan(readings.half_life(trace)).all()
    x = np.ones((6, 2))
    x[3] = np.nan
    held = readings.memory_span(LSTM(2, 3, rng=0).trace(x, clamp={("f", 0, 1): 0.9, ("c", 0, 2): 0.0})[1])
    assert held[:, 1].tolist() == [math.inf] * 6
    assert held[0, 2] == 2  # less than half was left before the NaN came
    assert np.isnan(held[1:3, 2]).all()
    assert np.isnan(readings.half_life(layer.trace(x)[1])).all()


@pytest.mark.parametrize(("cell", "switches"), CELLS)
def test_saturation_counts_every_valid_step_and_no_other(rng, cell, switches):
    trace, _ = traced(cell, switches, rng)
    found = readings.saturation(trace, 1, direction=1)
    assert found.steps == 15
    for gate in found.below:
        for unit in range(4):
            values = [trace[gate, 1, 1][n, t, unit] for n, length in enumerate((9, 5, 1)) for t in range(length)]
            assert found.below[gate][unit] == sum(v < 0.1 for v in values)
            assert found.above[gate][unit] == sum(v > 0.9 for v in values)
    assert set(found.below) == {k for k in trace.names_of(1) if k in "fiorz"}


def test_verdicts_say_what_was_counted():
    layer = LSTM(2, 30, rng=0)
    clamp = {("f", 0, 11): 1.0, ("i", 0, 3): 0.01, ("o", 0, 4): 0.95}
    _, trace = layer.trace(np.ones((2, 250, 2)), lengths=np.array([250, 200]), clamp=clamp)
    told = {v.text("en") for v in readings.verdicts(readings.saturation(trace))}
    assert told == {
        "Unit 12 never forgets: f > 0.9 in 450 of 450 steps.", "Unit 4 writes nothing: i < 0.1 in 450 of 450 steps.",
        "Unit 5 shows all it remembers: o > 0.9 in 450 of 450 steps.",
    }  # fmt: skip
    part = trace.select(units=[11, 5])
    assert [v.text("es") for v in readings.verdicts(readings.saturation(part))] == [
        "La unidad 12 nunca olvida: f > 0.9 en 450 de 450 pasos."
    ]
    for verdict in itertools.product("fiorz", ("open", "closed")):
        said = {lang: readings.Verdict(verdict[0], 0, verdict[1], 3, 4).text(lang) for lang in ("en", "es")}
        sign = "> 0.9" if verdict[1] == "open" else "< 0.1"
        assert said["en"].endswith(f": {verdict[0]} {sign} in 3 of 4 steps.")
        assert said["en"] != said["es"]


def test_a_verdict_needs_its_share():
    counts = {"f": np.array([94, 95, 100])}
    found = readings.Saturation(100, {"f": np.zeros(3, int)}, counts, np.arange(3))
    assert [v.unit for v in readings.verdicts(found)] == [2, 1]
    assert (
        readings.verdicts(readings.Saturation(0, {"f": np.zeros(3, int)}, {"f": np.zeros(3, int)}, np.arange(3))) == []
    )


@pytest.mark.parametrize("cell", [LSTM, GRU, MinLSTM])
def test_connectivity_is_the_gradient_of_each_step_by_itself(rng, cell):
    layer = cell(2, 4, 2, dtype="float64", rng=0)
    model = compuerta.Sequential(layer, compuerta.Dense(4, 3, dtype="float64", rng=1))
    _, trace = model.trace(rng.normal(size=(6, 2)))
    dy = rng.normal(size=(6, 3))
    for key, at in (("h", 0), ("h", 1), (trace.names[0], 1)):
        found = readings.connectivity(trace, dy, at, key=key)
        for s in range(6):
            alone = trace.gradients(np.where(np.arange(6)[:, None] == s, dy, 0.0))[key, at][0]
            for t in range(6):
                assert found[s, t] == pytest.approx(math.sqrt(sum(v * v for v in alone[t])), rel=1e-9, abs=1e-15)
        assert (found[np.triu_indices(6, 1)] == 0).all()
    flow = readings.gradient_flow(trace, dy, 1)
    whole = trace.gradients(dy)
    assert flow["h"][2] == pytest.approx(math.sqrt(sum(v * v for v in whole["h", 1][0, 2])))
    assert set(flow) == ({"h", "c"} if cell is LSTM else {"h"})


def test_connectivity_of_a_long_row_is_made_in_parts(rng, monkeypatch):
    _, trace = LSTM(2, 4, dtype="float64", rng=0).trace(rng.normal(size=(11, 2)))
    whole = readings.connectivity(trace)
    for at_once in (4 * 11, 3 * 4 * 11, 1):
        monkeypatch.setattr(readings, "_AT_ONCE", at_once)
        np.testing.assert_allclose(readings.connectivity(trace), whole, rtol=1e-12)


def test_the_flow_from_the_last_step_of_a_padded_row(rng):
    trace, _ = traced(GRU, {}, rng)
    dy = np.zeros(trace.y.shape)
    dy[1, 4] = 1  # the row has 5 steps
    assert np.array_equal(readings.gradient_flow(trace, row=1)["h"], readings.gradient_flow(trace, dy, row=1)["h"])
    assert readings.gradient_flow(trace, row=1)["h"][:5].min() > 0


def test_agreement_finds_the_place_where_two_runs_part(rng):
    layer = LSTM(2, 4, dtype="float64", rng=0)
    x = rng.normal(size=(9, 2))
    other = x.copy()
    other[5] += 1e-3
    one, two = (layer.trace(each)[1] for each in (x, other))
    for difference in readings.agreement(one, two, 1e-9):
        assert difference.first == 5
        assert difference.largest == np.abs(one[difference.key, 0] - two[difference.key, 0]).max()
    assert all(d.first is None and d.largest == 0 for d in readings.agreement(one, one))
    other[7] = np.nan
    for difference in readings.agreement(one, layer.trace(other)[1], 1.0):
        assert difference.first == 7
        assert math.isnan(difference.largest)
    assert all(d.first is None for d in readings.agreement(*[layer.trace(other)[1]] * 2))
    with pytest.raises(ShapeError):
        readings.agreement(one, layer.trace(x[:4])[1])
    with pytest.raises(ShapeError):
        readings.agreement(one, LSTM(2, 5, rng=0).trace(x)[1])
    with pytest.raises(ShapeError):
        readings.agreement(one, GRU(2, 4, rng=0).trace(x)[1])


def test_the_engines_agree(rng):
    layer = LSTM(2, 4, dtype="float64", rng=0)
    x, made, before = rng.normal(size=(9, 2)), [], compuerta.engine()
    for name in compuerta.recurrence.engines():
        compuerta.use_engine(name)
        made.append(layer.trace(x)[1])
    compuerta.use_engine(before)
    for one, other in itertools.combinations(made, 2):
        assert all(d.first is None for d in readings.agreement(one, other, 1e-13))


def test_places_that_are_not_there_are_refused(rng):
    _, trace = LSTM(2, 4, rng=0).trace(np.ones((3, 2)))
    for wrong in ({"layer": 1}, {"direction": 1}, {"row": 1}, {"step": 3}, {"step": -4}, {"layer": -1}):
        with pytest.raises(SettingError):
            readings.ledger(trace, **wrong)
    with pytest.raises(SettingError):
        readings.connectivity(trace, key="q")
    _, nothing = LSTM(2, 4, rng=0).trace(np.ones((0, 3, 2)))
    with pytest.raises(SettingError, match="row must be"):
        readings.half_life(nothing)
    assert readings.saturation(nothing).steps == 0


# ---- the search -----------------------------------------------------------------------------------------------------


def test_auroc_is_the_chance_of_a_pair(rng):
    values = rng.integers(0, 5, (40, 3)).astype(float)  # many ties
    labels = rng.random(40) < 0.4
    for column, found in zip(values.T, search.auroc(values, labels), strict=True):
        pairs = [(a > b) + 0.5 * (a == b) for a in column[labels] for b in column[~labels]]
        assert found == pytest.approx(sum(pairs) / len(pairs), rel=1e-12)
    assert search.auroc(values[:, 0], labels) == search.auroc(values, labels)[0]
    assert np.isnan(search.auroc(values, np.ones(40, bool))).all()


def test_correlation(rng):
    values, labels = rng.normal(size=(30, 3)), rng.normal(size=30)
    values[:, 2] = 4.0
    expected = [np.corrcoef(values[:, k], labels)[0, 1] for k in range(2)]
    np.testing.assert_allclose(search.correlation(values, labels), [*expected, 0.0], rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "what", "marks"),
    [
        ('say "no" or "yes"', "quotes", "....####....#####"),
        ("«uno “dos” tres» no", "quotes", "################..."),
        ("»no", "quotes", "..."),
        ("—Ya —dijo—. Ven.\nSí.", "dialogue", "####.....#######...."),
        ("— Ya\nvoy.\n\nFue.", "dialogue", "#########......"),  # lines broken within a paragraph
        ("to be, or", "words", ".#..#...#"),
        ("ñandú 7", "words", "....#.#"),
        ("aXbbXX", "X+", ".#..##"),
        ("ab\nab", r"^a", "#...."),
        ("ab\nab", r"(?m)^a", "#..#."),
        ("abc", "(?=b)", "..."),
        ("", "quotes", ""),
    ],
)
def test_labels(text, what, marks):
    assert "".join(".#"[int(v)] for v in search.labels_of(text, what)) == marks


def test_a_pattern_that_cannot_be_read_is_refused():
    with pytest.raises(SettingError, match="regular expression"):
        search.labels_of("abc", "(")


def planted(rng, steps=600):
    """A trace in which unit 5 follows the labels, and unit 2 their opposite less well."""
    labels = np.repeat(rng.random(steps // 10) < 0.5, 10)
    layer = LSTM(1, 8, dtype="float64", rng=0)
    _, trace = layer.trace(rng.normal(size=(steps, 1)))
    values = {(k, 0, 0): trace[k, 0].copy() for k in trace.names}
    values["c", 0, 0][0, :, 5] = labels + 0.3 * rng.normal(size=steps)
    values["c", 0, 0][0, :, 2] = -1.0 * labels + 0.9 * rng.normal(size=steps)
    return Trace(Stored(values, [1]), trace.shape, trace.kinds), labels


def test_the_unit_that_follows_is_found_and_judged_on_what_it_was_not_chosen_on(rng):
    trace, labels = planted(rng)
    found = search.find_units(trace, labels)
    first, second = found.best[:2]
    assert (first.key, first.unit, first.sign, second.unit, second.sign) == ("c", 5, 1, 2, -1)
    middle = (search.WARM_UP + 600) // 2
    assert first.score == pytest.approx(search.auroc(trace["c", 0][0, middle:, 5], labels[middle:]))
    assert second.score == pytest.approx(1 - search.auroc(trace["c", 0][0, middle:, 2], labels[middle:]))
    assert found.kind == "auroc"
    assert found.positive == labels[middle:].sum()
    assert len(found.baseline) == 20
    assert found.chance < 0.75 < second.score < first.score
    numbers = search.find_units(trace, labels.astype(float))
    assert numbers.kind == "correlation"
    assert numbers.best[0].unit == 5
    assert search.find_units(trace.select(units=[2, 5]), labels).best[0].unit == 5


def test_what_chance_finds_is_not_sold_as_a_find(rng):
    """Labels that mean nothing: the best unit on one half is no better on the other than those of shifted labels."""
    _, trace = LSTM(1, 64, rng=0).trace(rng.normal(size=(600, 1)))
    labels = np.repeat(rng.random(60) < 0.5, 10)
    found = search.find_units(trace, labels, shifts=40)
    assert found.best[0].score <= found.chance
    assert found.best[0].selection_score > found.best[0].score - 0.5


def test_the_search_refuses_what_it_cannot_judge(rng):
    trace, labels = planted(rng)
    for wrong, error in (
        (labels[:-1], ShapeError), (np.zeros(600, bool), SettingError), (np.arange(600) < 300, SettingError),
        (labels.astype("U5"), ShapeError), (np.where(labels, 1.0, np.nan), NonFiniteError),
    ):  # fmt: skip
        with pytest.raises(error):
            search.find_units(trace, wrong)
    with pytest.raises(SettingError, match="at least"):
        search.find_units(trace.select(steps=slice(0, 40)), labels[:40])
    with pytest.raises(SettingError, match="a single row"):
        search.find_units(LSTM(1, 2, rng=0).trace(np.ones((2, 100, 1)))[1], labels[:100])


def test_a_unit_that_is_not_finite_is_never_found(rng):
    trace, labels = planted(rng)
    trace._source._arrays["c", 0, 0][0, 300, 5] = np.nan
    found = search.find_units(trace, labels, top=100)
    assert found.best[0].unit == 2
    assert ("c", 5) not in {(one.key, one.unit) for one in found.best}
    assert len(found.best) == 2 * trace["c", 0].shape[2] - 1
    for key in "ch":
        trace._source._arrays[key, 0, 0][0, 300] = np.inf
    with pytest.raises(NonFiniteError, match="every unit"):
        search.find_units(trace, labels)


def test_holding_a_unit_that_matters_costs_bits_and_one_that_does_not_costs_none():
    text = "la luna, la luz, la lana. " * 30
    model = compuerta.LanguageModel(hidden_size=8, embedding_size=4, updates=150, batch_size=2, steps=16,
                                    learning_rate=0.02).fit(text)  # fmt: skip
    recurrent = model.model_.layers[1].parameters
    dense = model.model_.layers[2].parameters
    w, w_h = dense["w"].copy(), recurrent["w_h_l0"].copy()
    w[:, 3], w_h[:, 3] = 0, 0  # nobody reads this unit
    dense["w"], recurrent["w_h_l0"] = w, w_h
    unread = search.cost_of_clamping(model, text, "h", 0, 3)
    assert unread.clamped == pytest.approx(unread.free, rel=1e-5)
    assert unread.value == pytest.approx(float(model.trace(text)["h", 0][0, :, 3].mean()), rel=1e-5)
    costs = [search.cost_of_clamping(model, text, "h", 0, u) for u in range(8) if u != 3]
    assert max(c.clamped - c.free for c in costs) > 0.05
    given = search.cost_of_clamping(model, text, "f", 0, 0, 0.5)
    assert (given.value, given.clamped) == (0.5, model.score(text, clamp={("f", 0, 0): 0.5}))
    with pytest.raises(SettingError):
        search.cost_of_clamping(model, text, "h", 0, 8)
