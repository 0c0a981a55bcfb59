"""What a cell is: equations that give what its layer computes, a memory accounted for; a new one goes by its name."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import compuerta
from compuerta import GRU, LSTM, MinLSTM, gates
from compuerta.errors import FileFormatError, SettingError
from compuerta.gates import CellKind, MemoryEquation
from compuerta.interop import formats
from compuerta.layers import Trace
from compuerta.recurrence import Variant
from compuerta.recurrence.normalize import EPSILON
from compuerta.see import plots, readings
from compuerta.see.explain import explain_step, gate_table
from compuerta.see.html import page
from compuerta.see.scene import RUNNABLE, scene_of
from compuerta.see.search import find_units
from compuerta.texts import catalogue
from in_browser import Tab, shown
from layer_cases import shuffled
from variant_cases import CASES, cases, make, random_state

SIMPLE = {"gru": (GRU, {}), "gru, reset before": (GRU, {"reset_after": False}), "minimal": (MinLSTM, {})}


def some_layer(rng, case, inputs=3, hidden=4):
    if case in CASES:
        return make(rng, case, inputs, hidden)
    cls, options = SIMPLE[case]
    return shuffled(cls(inputs, hidden, dtype="float64", rng=0, **options), rng, scale=0.8)


@pytest.mark.parametrize("case", [*CASES, *SIMPLE])
def test_the_memory_is_what_its_equation_says(rng, case):
    layer = some_layer(rng, case)
    _, trace = layer.trace(2 * rng.standard_normal((2, 9, 3)), random_state(layer, 2, rng))
    equation = trace.kind_of(0).memory
    assert trace.kind_of(0) == layer.kind
    memory, before = trace[equation.quantity, 0], trace.initial(equation.quantity, 0)
    for t in range(9):
        got = equation.next(before, lambda key, t=t: trace[key, 0][:, t])
        np.testing.assert_allclose(got, memory[:, t], rtol=1e-12, atol=1e-12)
        before = memory[:, t]
    if equation.clip is None:
        assert np.abs(readings.ledger(trace, 6, row=1).rest).max() < 1e-12
    else:
        assert np.abs(readings.ledger(trace, 6, row=1).rest).max() > 1e-3


def evaluated(layer, x, state):
    """Evaluate the printed equations of a layer's LSTM in their order, as Python; return each quantity of one step."""
    hidden, kind = layer.hidden_size, layer.kind
    p = {name.removesuffix("_l0"): value for name, value in layer.parameters.items()}
    before = dict(zip(kind.parts, (part[0, 0] for part in state), strict=True))

    def standard(z):
        return (z - z.mean()) / np.sqrt(z.var() + EPSILON)

    def rows(key, array, of=kind.blocks):
        return array[of.index(key) * hidden : (of.index(key) + 1) * hidden]

    scope = {"clip": lambda z, most: np.clip(z, -most, most), "LN": standard, "x_t": x, "h_prev": before["h"]}
    scope |= {"σ": lambda z: 1 / (1 + np.exp(-z)), "tanh": np.tanh, "hx": np.concatenate((before["h"], x))}
    scope |= {f.name: f for _, f in kind.activations} | {"C_prev": before["c"], "W": p["w_x"], "U": p["w_h"]}
    scope |= {"part": lambda z, key: rows(key, z), "gamma_x": p.get("gain_x"), "gamma_h": p.get("gain_h")}
    scope |= {"gamma_c": p.get("gain_c"), "b_c": p.get("b_c"), "W_hr": p.get("w_hr")}
    scope["among"] = np.concatenate([before[key] for key in kind.parts[2:]]) if kind.parts[2:] else None
    for key in kind.blocks:
        letter = kind[key].symbol[0]
        scope[f"W_{letter}"] = np.hstack((rows(key, p["w_h"]), rows(key, p["w_x"])))
        scope[f"b_{letter}"] = rows(key, p["b"])
        if key in kind.own_gates:
            scope[f"p_{key}"] = rows(key, p["p"], kind.own_gates) if "p" in p else None
            scope[f"R_{key}"] = rows(key, p["w_r"], kind.own_gates) if "w_r" in p else None
    found = {}
    for key in sorted(kind, key=lambda key: "ifgcoh".index(key)):  # f may be 1 − i
        text = kind[key].equation.replace("[h_{t-1}; x_t]", "hx").replace("±", "")
        text = re.sub(r"\[[ifo]_\{t-1\}(; [ifo]_\{t-1\})*\]", "among", text)
        text = re.sub(r"\[(LN[^\]]*)\]_(\w)", lambda m: f"part({m[1]}, '{'g' if m[2] == 'C' else m[2]}')", text)
        text = text.replace("γ", "gamma").replace("h_{t-1}", "h_prev").replace("C_{t-1}", "C_prev").replace("−", "-")
        text = re.sub(r"(\d)·", r"\1*", text).replace("·", "@").replace("⊙", "*")
        text = text.replace("C̃_t", "new").replace("Ĉ_t", "inner")
        value, *inner = text.split(", inner = ")
        if inner:
            scope["inner"] = eval(inner[0], {"__builtins__": {}}, scope)
        symbol = {"g": "new", "c": "C_t"}.get(key, f"{key}_t")
        found[key] = scope[symbol] = eval(value, {"__builtins__": {}}, scope)
    return found


@cases
def test_the_equations_of_every_variant_are_those_of_its_layer(rng, case):
    layer = make(rng, case, 3, 4)
    x, state = rng.standard_normal((1, 1, 3)), random_state(layer, 1, rng)
    _, trace = layer.trace(x, state)
    for key, value in evaluated(layer, x[0, 0], state).items():
        got = trace[key, 0][0, 0]
        np.testing.assert_allclose(np.broadcast_to(value, got.shape), got, rtol=1e-11, atol=1e-12, err_msg=key)


def test_the_plain_variant_is_the_plain_kind():
    assert Variant().kind is gates.LSTM
    assert Variant()._equations() == {key: quantity.equation for key, quantity in gates.LSTM.items()}
    assert gates.LSTM.plain
    assert not Variant(coupled=True).kind.plain


@cases
def test_json_holds_all_of_a_kind(case):
    kind = LSTM(2, 3, rng=0, **CASES[case]).kind
    assert CellKind.from_json(json.loads(json.dumps(kind.to_json(), sort_keys=True))) == kind


# ---- a kind that is new --------------------------------------------------------------------------------------------


class SLSTM(LSTM):
    """A cell with the keys of an LSTM that is none: what it writes is what it does not keep."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, coupled=True, **options)
        memory = MemoryEquation("c", keep="f", candidate="g")
        self.kind = replace(self.kind, key="slstm", title="sLSTM", memory=memory, switches=())


class Renamed(LSTM):
    """An LSTM to the letter but for its kind."""

    kind = replace(gates.LSTM, key="renamed")

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.kind = type(self).kind


@pytest.fixture
def new(rng):
    _, trace = shuffled(SLSTM(2, 5, rng=0), rng).trace(rng.standard_normal((1, 80, 2)))
    return trace


def test_a_new_kind_is_read_by_its_own_equation(new, rng):
    assert new.kind_of(0).title == "sLSTM"
    told = readings.ledger(new, 40)
    np.testing.assert_allclose(told.start + told.shares.sum(axis=0), new["c", 0][0, 40], atol=1e-5)
    np.testing.assert_allclose(readings.memory_of(new).write, ((1 - new["f", 0]) * new["g", 0])[0], rtol=1e-5)
    assert readings.saturation(new).below.keys() == {"i", "f", "o"}
    assert readings.half_life(new).shape == (5,)
    assert find_units(new, new["c", 0][0, :, 2] > 0).best[0].unit == 2
    rows = {key: new[key, 0][0, :4, 1] for key in new.names}
    assert "The unit writes the most" in " ".join(gate_table("abcd", rows, "en", kind=new.kind_of(0)).split())


def test_a_new_kind_is_drawn(new):
    pytest.importorskip("matplotlib")
    for order in ("index", "saturation", "memory"):
        plots.gates(new, "f", order=order)
    for view, options in (("unit", {"unit": 1}), ("saturation", {}), ("ledger", {"unit": 1}), ("flow", {}),
                          ("connectivity", {}), ("overview", {"unit": 1})):  # fmt: skip
        new.plot(view, **options)


def test_a_new_kind_is_not_explained_as_another(new):
    with pytest.raises(SettingError, match="this layer is a sLSTM"):
        new.explain(3)
    with pytest.raises(SettingError, match="sLSTM"):
        explain_step({}, kind=new.kind_of(0))


def test_a_file_brings_a_new_kind_back_where_it_is_known(new, tmp_path, monkeypatch):
    new.save(tmp_path / "a")
    with pytest.raises(FileFormatError, match="slstm, which this compuerta does not know"):
        Trace.load(tmp_path / "a")
    monkeypatch.setitem(gates.KINDS, "slstm", new.kind_of(0))
    assert Trace.load(tmp_path / "a").kinds == new.kinds


@pytest.mark.parametrize("format", formats.FORMATS)
def test_a_new_kind_is_not_converted_as_another(format, tmp_path):
    with pytest.raises(SettingError, match="Renamed"):
        formats.write(Renamed(2, 3, rng=0), tmp_path / "a", format)


def test_a_page_of_a_new_kind_calls_it_by_its_name(new):
    scene = scene_of(new)
    about = scene.about()
    assert (about["kind"]["key"], about["kind"]["title"], scene.model) == ("slstm", "sLSTM", None)
    assert about["kind"]["memory"]["write"] is None
    assert not re.search(r'"lstm"|"LSTM"', json.dumps(about))
    assert page(new, lang="es").startswith("<!DOCTYPE html>")


@pytest.mark.browser
def test_a_page_of_a_new_kind_is_read_in_a_browser(new, browser, tmp_path):
    tab = Tab(browser, tmp_path, page(new, lang="en")).open()
    assert "sLSTM" in tab.text("header")
    assert tab.inside("data.kind.title") == "sLSTM"
    assert catalogue("en")["page.cell.variant"] in tab.text("#cell")
    assert catalogue("en")["page.ledger.direct"] in tab.text("#ledger")
    for key in new.names:
        tab.go(q=key, t=40, u=2)
        assert shown(new[key, 0][0, 40, 2]) in tab.text("#cell table.step")
    tab.go(q="c")
    f, before = new["f", 0][0, 40, 2], new["c", 0][0, 39, 2]
    assert f"f · c′ = {shown(f)} · {shown(before)}" in tab.text("#cell .sum-of")
    assert f"(1 − f) · C̃ = {shown(1 - f)} · {shown(new['g', 0][0, 40, 2])}" in tab.text("#cell .sum-of")
    assert not re.search(r"(?<!s)LSTM", tab.text(".compuerta"))
    tab.close()


def test_layers_of_different_cells_do_not_stand_in_one_page(rng):
    for other in (LSTM(4, 4, rng=0, coupled=True), SLSTM(4, 4, rng=0)):
        _, trace = compuerta.Sequential(LSTM(2, 4, rng=0), other).trace(rng.standard_normal((5, 2)))
        with pytest.raises(SettingError, match="different kinds"):
            page(trace)


def test_the_page_has_a_step_of_every_kind_that_it_is_given_to_run():
    from importlib.resources import files

    text = (files("compuerta") / "see" / "page" / "cells.js").read_text(encoding="utf-8")
    steps = re.findall(r"^  (\w+)\(\{", text[text.index("export const CELLS") :], re.M)
    assert tuple(steps) == RUNNABLE
