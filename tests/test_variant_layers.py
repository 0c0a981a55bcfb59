"""What the layer makes of the variants: masks from the Generator, parameters and files, training, refusals, pages."""

import contextlib
import inspect
import io
import re
from pathlib import Path

import numpy as np
import pytest

import compuerta
from compuerta import LSTM, Dense, Embedding, Last, Sequential, Trainer, activations, files, recurrence, textbook
from compuerta.activations import IDENTITY
from compuerta.errors import FileFormatError, SettingError, ShapeError
from compuerta.recurrence import Variant
from compuerta.training import Shuffled, squared_error
from variant_cases import CASES, NOISY, cases, close, make, random_state

# ---- chance ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", NOISY)
def test_masks_replay_from_the_same_generator_and_only_from_it(rng, case):
    layer = make(rng, case, 3, 4, 2, bidirectional=True)
    x = rng.standard_normal((3, 5, 3))
    first, again, other = (layer.forward(x, rng=np.random.default_rng(s))[0] for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    still = [layer.forward(x)[0] for _ in range(2)]
    assert np.array_equal(*still)
    assert not np.allclose(first, still[0])
    generator = np.random.default_rng(1)
    layer.forward(x, rng=generator)
    assert not np.allclose(layer.forward(x, rng=generator)[0], first), "a pass moves the Generator on"


@pytest.mark.parametrize("case", NOISY)
def test_what_a_row_meets_does_not_depend_on_the_lengths_of_others(rng, case):
    layer = make(rng, case, 3, 4)
    x = rng.standard_normal((3, 5, 3))
    whole, _, _ = layer.forward(x, rng=1)
    for lengths in ([5, 2, 4], [1, 5, 0]):
        y, _, _ = layer.forward(x, lengths=lengths, rng=1)
        for n, length in enumerate(lengths):
            close([y[n, :length]], [whole[n, :length]])


@pytest.mark.parametrize("case", ["recurrent dropout", "weight drop", "zoneout"])
def test_without_a_generator_the_expected_cell_runs(rng, case):
    """Of one step: what is dropped is whole again, and zoneout mixes as often as it would have kept."""
    x, options = rng.standard_normal((1, 1, 3)), CASES[case]
    layer = make(rng, case, 3, 4)
    state = random_state(layer, 1, rng)
    drawn = np.random.default_rng(0)
    if case == "zoneout":
        draws = 4000
        repeated = tuple(np.repeat(part, draws, axis=1) for part in state)
        y, (_, c), _ = layer.forward(np.repeat(x, draws, axis=0), repeated, rng=drawn)
        expected, (_, c_expected) = layer(x, state)
        assert set(map(len, (np.unique(c[0, :, 0].round(12)), np.unique(y[:, 0, 0].round(12))))) == {2}
        np.testing.assert_allclose(y.mean(axis=0), expected[0], atol=0.04)
        np.testing.assert_allclose(c.mean(axis=1), c_expected[:, 0], atol=0.04)
        assert (c[0, :, 0] == state[1][0, 0, 0]).mean() == pytest.approx(options["zoneout"][0], abs=0.03)
        assert (y[:, 0, 0] == state[0][0, 0, 0]).mean() == pytest.approx(options["zoneout"][1], abs=0.03)
    else:
        plain = make(np.random.default_rng(0), "plain", 3, 4)
        for name in plain.parameters:
            plain.parameters[name] = layer.parameters[name]
        close([layer(x, state)[0]], [plain(x, state)[0]], 1e-15)


def test_masks_are_drawn_as_the_papers_say(rng):
    """Recurrent dropout: one for a sequence, scaled. Weight drop: one for a pass, of w_h alone, which itself stays."""
    layer = LSTM(2, 50, rng=0, dtype="float64", recurrent_dropout=0.3, weight_drop=0.2, zoneout=(0.5, 0.1))
    before = layer.parameters.flat.copy()
    x = rng.standard_normal((40, 7, 2))
    y, _, record = layer.forward(x, rng=3, record=True)
    masks = record.tape.tapes[0][0].masks
    assert masks.h.shape == (40, 50)
    assert masks.w_h.shape == (200, 50)
    assert masks.zone_c.shape == masks.zone_h.shape == (40 * 7, 50)
    for mask, p, top in ((masks.h, 0.3, 1 / 0.7), (masks.w_h, 0.2, 1 / 0.8), (masks.zone_c, 0.5, 1.0)):
        assert set(np.unique(mask)) == {0.0, top}
        assert (mask == 0).mean() == pytest.approx(p, abs=0.04)
    assert masks.zone_h.mean() == pytest.approx(0.1, abs=0.01)
    c = record.tape.tapes[0][0].read("c")
    kept = masks.zone_c.reshape(7, 40, 50).swapaxes(0, 1)[:, 1:] == 1
    assert np.array_equal(c[:, 1:] == c[:, :-1], kept), "a value kept is kept to the last bit"
    layer.backward(record, np.ones(y.shape))
    assert np.array_equal(layer.parameters.flat, before)
    assert not np.array_equal(masks.zone_c[:40], masks.zone_c[40:80])


# ---- the layer around the cell --------------------------------------------------------------------------------------


def test_parameters_in_named_form():
    layer = LSTM(3, 4, rng=0, peepholes=True, full_gate_recurrence=True, layer_norm="cell", projection_size=2,
                 learn_state=True, bidirectional=True)  # fmt: skip
    shapes = {
        "w_x_l0": (16, 3), "w_h_l0": (16, 2), "b_l0": (16,), "p_l0": (12,), "w_r_l0": (12, 12), "gain_x_l0": (16,),
        "gain_h_l0": (16,), "gain_c_l0": (4,), "b_c_l0": (4,), "w_hr_l0": (2, 4), "h0_l0": (2,), "c0_l0": (4,),
        "i0_l0": (4,), "f0_l0": (4,), "o0_l0": (4,),
    }  # fmt: skip
    assert layer.parameters.shapes == shapes | {name + "_reverse": shape for name, shape in shapes.items()}
    y, state = layer(np.zeros((5, 6, 3)))
    assert y.shape == (5, 6, 4)
    assert [part.shape for part in state] == [(2, 5, 2), *[(2, 5, 4)] * 4]
    assert layer.blocks == ("i", "f", "g", "o")
    assert LSTM(3, 4, rng=0, coupled=True).blocks == ("i", "g", "o")
    assert LSTM(3, 4, rng=0, coupled=True).parameters.shapes["w_h_l0"] == (12, 4)


def test_initial_weights_start_near_the_plain_cell():
    layer = LSTM(3, 4, rng=0, peepholes=True, full_gate_recurrence=True, layer_norm="cell", learn_state=True)
    assert not any(layer.parameters[name].any() for name in ("p_l0", "w_r_l0", "b_c_l0", "h0_l0", "c0_l0"))
    assert all((layer.parameters[name] == 1).all() for name in ("gain_x_l0", "gain_h_l0", "gain_c_l0"))
    assert layer.parameters["b_l0"].tolist() == [0] * 4 + [1] * 4 + [0] * 8
    assert LSTM(3, 4, rng=0, coupled=True).parameters["b_l0"].tolist() == [-1] * 4 + [0] * 8
    assert LSTM(3, 4, rng=0, forget_gate=False).parameters["b_l0"].tolist() == [0] * 12
    b = LSTM(3, 4, rng=0, coupled=True, chrono=20).parameters["b_l0"]
    assert (b[:4] < 0).all()
    assert not b[4:].any()
    same = LSTM(3, 4, rng=5), LSTM(3, 4, rng=5, peepholes=True)
    for name in same[0].parameters:
        assert np.array_equal(same[0].parameters[name], same[1].parameters[name])


@cases
def test_config_and_file_round_trips(rng, case, tmp_path):
    layer = make(rng, case, 3, 4, 2, bidirectional=True)
    assert LSTM(**layer.config()).config() == layer.config()
    assert layer.switches() == CASES[case]
    compuerta.save(layer, tmp_path / "layer.safetensors")
    twin = compuerta.load(tmp_path / "layer.safetensors")
    assert twin.config() == layer.config()
    x = rng.standard_normal((2, 5, 3))
    assert np.array_equal(twin(x)[0], layer(x)[0])


def test_a_plain_layer_names_no_switch():
    assert LSTM(2, 3, rng=0).switches() == {}
    assert not set(LSTM(2, 3, rng=0).config()) & {"peepholes", "zoneout", "learn_state"}


@pytest.mark.parametrize("case", ["peepholes", "layer norm", "projection", "learnt state", "all at once"])
def test_in_a_model_with_an_embedding_that_is_folded_in(rng, numpy_engine, case):
    """With many tokens the table is multiplied once (Sequential); few and many give the same gradients."""
    options = {k: v for k, v in CASES[case].items() if k not in ("zoneout", "recurrent_dropout", "weight_drop")}
    lstm = LSTM(3, 4, dtype="float64", rng=0, **options)
    model = Sequential(Embedding(5, 3, dtype="float64", rng=0), lstm, Dense(lstm.width_out, 2, dtype="float64", rng=1))
    for name, shape in model.parameters.shapes.items():
        model.parameters[name] = rng.standard_normal(shape)
    x, dy = rng.integers(0, 5, (8, 4)), rng.standard_normal((8, 4, 2))
    assert model._folds(0, x)
    y, state, tape = model.forward(x, record=True)
    whole, total = model.backward(tape, dy), 0
    for n in range(8):
        assert not model._folds(0, x[n : n + 1])
        y_n, _, tape_n = model.forward(x[n : n + 1], record=True)
        close([y[n : n + 1]], [y_n], 1e-12)
        total = total + model.backward(tape_n, dy[n : n + 1]).flat
    close([whole.flat], [total], 1e-12)
    assert [part.shape for part in state[0]] == [(1, 8, width) for width in lstm.widths]
    assert all(f"{key}={value!r}" in model.summary("en") for key, value in lstm.switches().items())


@pytest.mark.parametrize("case", [*NOISY, "layer norm, c too", "gates that see two gates", "learnt state"])
def test_a_variant_trains_and_the_same_seed_trains_the_same(rng, case):
    x = rng.standard_normal((32, 6, 3))
    target = np.tanh(x[:, :1, :1] - x[:, 2:3, 1:2])
    found = []
    for _ in range(2):
        lstm = LSTM(3, 8, rng=0, **CASES[case])
        model = Sequential(lstm, Last(), Dense(lstm.width_out, 1, rng=1))
        before = squared_error(model(x)[0], target)[0]
        trainer = Trainer(model, squared_error, learning_rate=0.01, clip=1.0, rng=0)
        trainer.fit(Shuffled(x, target, batch_size=8), updates=150)
        assert squared_error(model(x)[0], target)[0] < 0.6 * before
        found.append(model.parameters.flat.copy())
    assert np.array_equal(*found)


@pytest.mark.parametrize("page", ["variants.md", "variantes.md"])
def test_the_pages_name_every_switch_and_parameter_and_their_code_runs(page):
    text = (Path(__file__).parents[1] / "docs" / page).read_text(encoding="utf-8")
    arguments = list(inspect.signature(LSTM).parameters)
    for switch in arguments[arguments.index("peepholes") :]:
        assert f"`{switch}=" in text, switch
    every = Variant(peepholes=True, full_gate_recurrence=True, layer_norm="cell", projection=True)
    for name in (*every.shapes(1, 1), "h0", "c0"):
        assert re.search(rf"`{name}[`_]", text), name
    code = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(code) == 1
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code[0], {})
    assert "'zoneout': [0.1, 0.05]" in printed.getvalue()


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"coupled": True, "input_gate": False}, ("coupled=True", "input_gate=False")),
        ({"coupled": True, "forget_gate": False}, ("coupled=True", "forget_gate=False")),
        ({"peepholes": True, "input_gate": False, "forget_gate": False, "output_gate": False},
         ("peepholes=True", "input_gate=False", "output_gate=False")),
        ({"full_gate_recurrence": True, "input_gate": False, "forget_gate": False, "output_gate": False},
         ("full_gate_recurrence=True", "forget_gate=False")),
        ({"chrono": 9, "forget_gate": False}, ("chrono=9", "forget_gate=False")),
    ],
)  # fmt: skip
def test_switches_that_exclude_each_other_are_named(options, words):
    with pytest.raises(SettingError) as caught:
        LSTM(2, 3, rng=0, **options)
    for lang in ("en", "es"):
        assert all(word in caught.value.text(lang) for word in words)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_norm": "all"}, 'layer_norm must be None, "gates" or "cell"; got \'all\''),
        ({"layer_norm": ["gates"]}, "layer_norm must be None"),
        ({"cell_clip": 0}, "cell_clip must be a finite number > 0; got 0"),
        ({"clip": -1.0}, "clip must be a finite number > 0; got -1.0"),
        ({"zoneout": 1.5}, "zoneout must be a finite number >= 0 <= 1; got 1.5"),
        ({"zoneout": (0.1, 0.2, 0.3)}, "zoneout must be a finite number"),
        ({"zoneout": (0.1, float("nan"))}, "zoneout must be a finite number"),
        ({"recurrent_dropout": 1.0}, "recurrent_dropout must be a finite number >= 0 <= 0.999"),
        ({"weight_drop": True}, "weight_drop must be a finite number"),
        ({"gate_activation": "sigmoid"}, "activation: expected one of Affine, Elu, .*; got 'sigmoid'"),
        ({"input_activation": ["Tanh", 0.5]}, "Tanh has no alpha; leave it out. Got 0.5"),
        ({"output_activation": ["HardSigmoid", float("inf")]}, "HardSigmoid: alpha must be a finite number; got inf"),
        ({"output_activation": []}, "activation: expected one of"),
        ({"output_activation": None}, "activation: expected one of"),
    ],
)
def test_options_out_of_their_range(options, message):
    with pytest.raises(SettingError, match=message):
        LSTM(2, 3, rng=0, **options)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "3"])
def test_projection_size_is_a_size(size):
    with pytest.raises(ShapeError, match="projection_size must be a positive integer"):
        LSTM(2, 3, rng=0, projection_size=size)


@pytest.mark.parametrize(
    "switches",
    [
        {"coupled": True, "forget_gate": False},
        {"gate_activation": ["os.system", 1]},
        {"gate_activation": {"name": "Tanh"}},
        {"input_activation": ["HardSigmoid", "0.2"]},
        {"layer_norm": {}},
        {"zoneout": [0.1, "x"]},
        {"zoneout": {"c": 0.1}},
        {"cell_clip": "3"},
        {"projection_size": 10**30},
        {"projection_size": 2, "peepholes": True},
    ],
)
def test_a_file_whose_switches_do_not_fit_is_refused(rng, tmp_path, switches):
    layer, path = make(rng, "plain", 2, 3), tmp_path / "m.safetensors"
    config = ["LSTM", layer.config() | switches]
    files.write(path, dict(layer.parameters), {"kind": "Layer", "model": config})
    with pytest.raises(FileFormatError):
        compuerta.load(path)


def test_a_state_of_other_parts_is_refused(rng):
    layer = make(rng, "projection", 2, 3)
    with pytest.raises(ShapeError, match=r"\(1, 4, 2\)"):
        layer(np.zeros((4, 5, 2)), (np.zeros((1, 4, 3)), np.zeros((1, 4, 3))))
    with pytest.raises(ShapeError, match="h, c, i, f, o"):
        make(rng, "full gate recurrence", 2, 3)(np.zeros((4, 5, 2)), (np.zeros((1, 4, 3)),) * 2)


def test_the_textbook_has_only_the_plain_cell(rng):
    with pytest.raises(ValueError, match="expected an LSTM without variants"):
        textbook.LSTM.from_layer(make(rng, "coupled", 2, 3))
    assert textbook.LSTM.from_layer(make(rng, "learnt state", 2, 3)).hidden_size == 3


def test_variants_are_values():
    assert Variant(zoneout=(0.1, 0.2)) == Variant(zoneout=(0.1, 0.2)) != Variant()
    assert Variant().plain
    assert not Variant(output_activation=IDENTITY).plain
    assert recurrence.lstm(Variant(peepholes=True)) is recurrence.lstm(Variant(peepholes=True))
    assert recurrence.lstm(Variant()) is recurrence.active().lstm
    assert activations.SIGMOID.plain() == "Sigmoid"
