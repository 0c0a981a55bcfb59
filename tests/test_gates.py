"""The catalogue of gates: its equations, evaluated as they are printed, give what textbook and layers compute."""

import re

import numpy as np
import pytest

import compuerta
from compuerta import gates, textbook
from compuerta.see.steps import cell_of
from compuerta.texts import LANGUAGES, catalogue

TABLES = {"LSTM": gates.LSTM, "GRU": gates.GRU}


def evaluate(table, names):
    """Evaluate every equation of a table, in its order, as Python over ``names``; return each quantity by its key."""
    scope = {"σ": textbook.sigmoid, "tanh": np.tanh} | names
    found = {}
    for key, quantity in table.items():
        text = re.sub(r"\[h_\{t-1\}; x_t\]", "hx", quantity.equation)
        text = text.replace("h_{t-1}", "h_prev").replace("C_{t-1}", "C_prev").replace("b_{hn}", "b_hn")
        text = text.replace("C̃_t", "C_tilde").replace("−", "-").replace("·", "@").replace("⊙", "*")
        assert re.fullmatch(r"[\w\s@*+\-()σ]+", text), f"{key}: cannot read {quantity.equation}"
        found[key] = scope[quantity.symbol.replace("C̃_t", "C_tilde")] = eval(text, {"__builtins__": {}}, scope)
    return found


def test_lstm_equations_are_those_of_the_textbook(rng):
    cell = textbook.LSTM(3, 4, rng=0)
    for k in textbook.BLOCKS:
        setattr(cell, "W" + k, rng.standard_normal((4, 7)))
        setattr(cell, "b" + k, rng.standard_normal((4, 1)))
    x, h_prev, C_prev = (rng.standard_normal((n, 1)) for n in (3, 4, 4))
    names = {"hx": np.vstack((h_prev, x)), "h_prev": h_prev, "C_prev": C_prev}
    names |= {f"{kind}_{k}": getattr(cell, kind + k) for k in textbook.BLOCKS for kind in "Wb"}
    step = cell.step(x, h_prev, C_prev)
    found = evaluate(gates.LSTM, names)
    assert set(found) == set("figcoh")
    for key, value in found.items():
        np.testing.assert_allclose(value, step[{"g": "C_tilde", "c": "C"}.get(key, key)], rtol=1e-13, err_msg=key)


@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_equations_are_those_of_the_layer(rng, reset_after):
    layer = compuerta.GRU(3, 4, reset_after=reset_after, dtype="float64", rng=0)
    for name, shape in layer.parameters.shapes.items():
        layer.parameters[name] = rng.standard_normal(shape)
    x, h_prev = rng.standard_normal((3, 1)), rng.standard_normal((4, 1))
    names = {"hx": np.vstack((h_prev, x)), "x_t": x, "h_prev": h_prev}
    if reset_after:
        names["b_hn"] = layer.parameters["b_hn_l0"][:, None]
    for at, k in enumerate(gates.GRU_ORDER):
        w_x, w_h, b = (layer.parameters[name][4 * at : 4 * at + 4] for name in ("w_x_l0", "w_h_l0", "b_l0"))
        names |= {f"W_{k}": np.hstack((w_h, w_x)) if k != "n" else w_x, f"U_{k}": w_h, f"b_{k}": b[:, None]}
    found = evaluate(gates.GRU if reset_after else gates.GRU_RESET_BEFORE, names)
    _, _, record = layer.forward(x.T, h_prev.T, record=True)
    for key, value in found.items():
        np.testing.assert_allclose(value[:, 0], record.tape.tapes[0][0].read(key)[0, 0], rtol=1e-12, err_msg=key)


@pytest.mark.parametrize(
    "switches",
    [{}, {"peepholes": True}, {"peepholes": True, "coupled": True}, {"coupled": True}, {"output_gate": False},
     {"input_gate": False, "peepholes": True}, {"forget_gate": False}, {"weight_drop": 0.5, "recurrent_dropout": 0.5}],
    ids=str,
)  # fmt: skip
def test_equations_told_of_a_variant_are_those_of_the_layer(rng, switches):
    layer = compuerta.LSTM(3, 4, dtype="float64", rng=0, **switches)
    for name, shape in layer.parameters.shapes.items():
        layer.parameters[name] = rng.standard_normal(shape)
    x, h_prev, C_prev = rng.standard_normal((3, 1)), rng.standard_normal((4, 1)), rng.standard_normal((4, 1))
    names = {"hx": np.vstack((h_prev, x)), "h_prev": h_prev, "C_prev": C_prev}
    for at, k in enumerate(layer.blocks):
        w_x, w_h, b = (layer.parameters[name][4 * at : 4 * at + 4] for name in ("w_x_l0", "w_h_l0", "b_l0"))
        end = "C" if k == "g" else k
        names |= {f"W_{end}": np.hstack((w_h, w_x)), f"b_{end}": b[:, None]}
    if "peepholes" in switches:
        gated = [k for k in layer.blocks if k != "g"]
        names |= {f"p_{k}": p[:, None] for k, p in zip(gated, layer.parameters["p_l0"].reshape(-1, 4), strict=True)}
    _, trace = layer.trace(x.T, (h_prev.T[None], C_prev.T[None]))
    table = cell_of(trace)
    found = evaluate({key: table[key] for key in "ifgcoh"}, names)  # f may be 1 − i
    for key, value in found.items():
        np.testing.assert_allclose(np.broadcast_to(value, (4, 1))[:, 0], trace[key, 0][0, 0], rtol=1e-12, err_msg=key)


@pytest.mark.parametrize("name", TABLES)
def test_every_quantity_has_words_in_both_languages(name):
    for key, quantity in TABLES[name].items():
        assert quantity.key == key
        words = {lang: (quantity.name(lang), quantity.note(lang)) for lang in LANGUAGES}
        assert all(text.strip() for pair in words.values() for text in pair)
        assert words["en"][0] != words["es"][0]
        assert words["en"][1] != words["es"][1]


def test_no_gate_in_the_texts_that_the_catalogue_lacks():
    known = (
        set(gates.LSTM)
        | set(gates.GRU)
        | {q.note_key for q in (*gates.GRU.values(), *gates.MIN_LSTM.values()) if q.note_key}
    )
    for lang in LANGUAGES:
        named = {key.split(".")[1] for key in catalogue(lang) if re.fullmatch(r"gate\.\w+\.(name|note)", key)}
        assert named == known


@pytest.mark.parametrize("name", TABLES)
def test_values_stay_in_the_ranges_given(rng, name):
    """Far out, with weights ten times too large: what is a gate stays in [0, 1], and only c leaves (-1, 1)."""
    table = TABLES[name]
    layer = getattr(compuerta, name)(2, 5, dtype="float64", rng=0)
    for key, shape in layer.parameters.shapes.items():
        layer.parameters[key] = 3 * rng.standard_normal(shape)
    _, _, record = layer.forward(4 * rng.standard_normal((6, 30, 2)), record=True)
    for key, quantity in table.items():
        values = record.tape.tapes[0][0].read(key)
        low, high = quantity.range
        assert values.min() >= low
        assert values.max() <= high
        assert quantity.is_gate == (key in "fiorz")
        if quantity.is_gate:
            assert values.min() < 0.01
            assert values.max() > 0.99
        elif key != "c":
            assert values.min() < -0.7
    if name == "LSTM":
        assert np.abs(record.tape.tapes[0][0].read("c")).max() > 1
        assert gates.LSTM["c"].range == (-np.inf, np.inf)


def test_orders_name_the_blocks_of_the_layers():
    assert gates.LSTM_ORDER == ("i", "f", "g", "o")
    assert gates.GRU_ORDER == ("r", "z", "n")
    assert set(gates.LSTM_ORDER) < set(gates.LSTM)
    assert set(gates.GRU_ORDER) < set(gates.GRU)
    with pytest.raises(TypeError):
        gates.LSTM["f"] = gates.LSTM["i"]
