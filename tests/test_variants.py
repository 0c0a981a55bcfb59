"""Every variant of the LSTM cell: against an oracle written from the papers (variant_oracle.py), by complex step, and
the properties that each switch, its masks and its state must have."""

import contextlib
import importlib.util
import inspect
import io
import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import compuerta
from compuerta import LSTM, Dense, Embedding, Sequential, activations, recurrence, textbook
from compuerta.activations import ACTIVATIONS, IDENTITY, Activation
from compuerta.errors import SettingError, ShapeError
from compuerta.layers import Parameters
from compuerta.recurrence import Variant, VariantCell

_spec = importlib.util.spec_from_file_location("variant_oracle", Path(__file__).with_name("variant_oracle.py"))
oracle = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(oracle)

#: Bounds and probabilities are such that in these small networks both sides of each are visited.
CASES = {
    "plain": {},
    "peepholes": {"peepholes": True},
    "coupled": {"coupled": True},
    "no input gate": {"input_gate": False},
    "no forget gate": {"forget_gate": False},
    "no output gate": {"output_gate": False},
    "no input activation": {"input_activation": "Identity"},
    "no output activation": {"output_activation": "Identity"},
    "full gate recurrence": {"full_gate_recurrence": True},
    "layer norm": {"layer_norm": "gates"},
    "layer norm, c too": {"layer_norm": "cell"},
    "projection": {"projection_size": 2},
    "wider projection": {"projection_size": 4},
    "cell clip": {"cell_clip": 0.6},
    "clip": {"clip": 0.7},
    "zoneout": {"zoneout": [0.3, 0.2]},
    "recurrent dropout": {"recurrent_dropout": 0.4},
    "weight drop": {"weight_drop": 0.4},
    "learnt state": {"learn_state": True},
    "other activations": {
        "gate_activation": ["HardSigmoid", 0.25, 0.5], "input_activation": "Softsign",
        "output_activation": ["ScaledTanh", 1.7, 0.6],
    },
    "ONNX": {"peepholes": True, "coupled": True, "clip": 1.5, "input_activation": "LeakyRelu"},
    "gates that see two gates": {"full_gate_recurrence": True, "coupled": True, "peepholes": True},
    "neither input nor output gate": {"input_gate": False, "output_gate": False, "full_gate_recurrence": True,
                                      "peepholes": True},
    "no gate at all": {"input_gate": False, "forget_gate": False, "output_gate": False},
    "all at once": {
        "peepholes": True, "full_gate_recurrence": True, "layer_norm": "cell", "projection_size": 2, "cell_clip": 0.9,
        "clip": 1.8, "zoneout": [0.3, 0.2], "recurrent_dropout": 0.4, "weight_drop": 0.3, "learn_state": True,
        "output_activation": "Softsign",
    },
}  # fmt: skip
NOISY = ("zoneout", "recurrent dropout", "weight drop", "all at once")
cases = pytest.mark.parametrize("case", CASES)


def make(rng, case, *sizes, dtype="float64", **options):
    """A layer with every parameter random: what starts at 0 or 1 would hide faults."""
    layer = LSTM(*sizes, dtype=dtype, rng=0, **CASES[case], **options)
    for name, shape in layer.parameters.shapes.items():
        layer.parameters[name] = 0.8 * rng.standard_normal(shape)
    return layer


def random_state(layer, n, rng):
    at = layer.num_layers * layer.directions
    return tuple(rng.standard_normal((at, n, width)).astype(layer.dtype) for width in layer.widths)


def close(got, expected, tolerance=1e-13):
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, np.abs(b).max(initial=0)))


# ---- against the oracle ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 3], ids=["", "training"])
@pytest.mark.parametrize("both", [False, True], ids=["one_way", "both_ways"])
@cases
def test_a_variant_is_its_equations(rng, case, both, seed):
    """Outputs, final state, and every quantity of the trace, in two stacked layers."""
    lengths = [4, 4, 4] if seed is not None else [3, 0, 5]
    layer = make(rng, case, 3, 3, 2, bidirectional=both)
    x, state = 1.5 * rng.standard_normal((3, max(lengths), 3)), random_state(layer, 3, rng)
    y, final, record = layer.forward(x, state, lengths, record=True, rng=seed)
    masks = (lambda k, d: getattr(record.tape.tapes[k][d], "masks", None)) if seed is not None else None
    expected, expected_final, seen = oracle.run(layer, x, state, lengths, CASES[case], masks)
    close((y, *final), (expected, *expected_final))
    for (k, d), quantities in seen.items():
        tape = record.tape.tapes[k][d]
        assert tape.names == ("i", "f", "g", "o", "c", "h")
        past = np.arange(x.shape[1]) >= np.array(lengths)[:, None]
        for name, values in quantities.items():
            close([tape.read(name)], [np.where(past[..., None], 0, values)])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_gate_and_a_candidate_of_any_activation_are_the_oracles(rng, name):
    for where in ("gate_activation", "input_activation", "output_activation"):
        layer = LSTM(3, 4, dtype="float64", rng=0, **{where: name})
        x, state = 2 * rng.standard_normal((2, 5, 3)), random_state(layer, 2, rng)
        y, final = layer(x, state)
        expected, expected_final, _ = oracle.run(layer, x, state, [5, 5], {where: name})
        close((y, *final), (expected, *expected_final))


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("plain", "learnt state")])
def test_every_switch_changes_the_result(rng, case):
    """Each alone, on the same parameters where it has the same ones."""
    layer, plain = make(rng, case, 3, 3), make(rng, "plain", 3, 3)
    for name in set(layer.parameters) & set(plain.parameters):
        if layer.parameters.shapes[name] == plain.parameters.shapes[name]:
            layer.parameters[name] = plain.parameters[name]
    x = 1.5 * rng.standard_normal((2, 6, 3))
    seed = 1 if case in NOISY else None
    (y, _, _), (y_plain, _, _) = layer.forward(x, rng=seed), plain.forward(x, rng=seed)
    assert y.shape != y_plain.shape or np.abs(y - y_plain).max() > 1e-2


def test_the_plain_cell_takes_the_fast_path_and_every_other_the_numpy_engine():
    assert LSTM(2, 3, rng=0)._cell() is recurrence.active().lstm
    assert LSTM(2, 3, rng=0, learn_state=True)._cell() is recurrence.active().lstm
    for case in set(CASES) - {"plain", "learnt state"}:
        layer = LSTM(2, 3, rng=0, **CASES[case])
        assert isinstance(layer._cell(), VariantCell)
        assert layer._cell() is layer._cell()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_generic_cell_with_no_switch_is_the_plain_one(rng, numpy_engine, dtype):
    """Forward, backward and gradients of both: two programs for the same equations."""
    cells = VariantCell(Variant()), numpy_engine.lstm
    weights = [rng.standard_normal(s).astype(dtype) for s in Variant().shapes(3, 4).values()]
    x, state, lengths = rng.standard_normal((3, 5, 3)), rng.standard_normal((2, 3, 4)), np.array([5, 0, 3])
    dy, dfinal = rng.standard_normal((3, 5, 4)), rng.standard_normal((2, 3, 4))
    x, state, dy, dfinal = (a.astype(dtype) for a in (x, state, dy, dfinal))
    found = []
    for cell, reverse in itertools.product(cells, (False, True)):
        y, final, dstate = np.empty_like(dy), np.empty_like(state), np.empty_like(state)
        packed, out = cell.pack(*weights), tuple(np.empty_like(w) for w in weights)
        tape = cell.forward(packed, x, state, lengths, reverse, True, y, final)
        dx = cell.backward(packed, tape, dy, dfinal, out, dstate)
        found.append((y, *final, *out, dx, *dstate, *(tape.read(name) for name in tape.names)))
    for one, other in zip(found[:2], found[2:], strict=True):
        assert {a.dtype for a in one} == {np.dtype(dtype)}
        close(one, other, 1e-13 if dtype == "float64" else 3e-6)


# ---- gradients by complex step --------------------------------------------------------------------------------------


def check_gradients(layer, x, state, lengths, seed, rng, complex_step, assert_same_gradient):
    """Every parameter, x and every part of the initial state, through whole stacks."""
    y, final, tape = layer.forward(x, state, lengths, record=True, rng=seed)
    dy, dfinal = rng.standard_normal(y.shape), [rng.standard_normal(part.shape) for part in final]
    grads = layer.backward(tape, dy, tuple(dfinal))
    twin = type(layer)(**layer.config())
    twin.parameters = Parameters(layer.parameters.shapes, np.dtype(np.complex128))
    valid, tokens = None if lengths is None else np.array(lengths), x.dtype.kind == "i"
    parts = dict(zip(layer.parts, state or (), strict=False))
    arrays = dict(layer.parameters) | parts | ({} if tokens else {"x": x})

    def loss(**values):
        for name, view in twin.parameters.named(twin.parameters.writable()).items():
            view[...] = values[name]
        given = [values[part] for part in parts] or None
        generator = None if seed is None else np.random.default_rng(seed)
        out, last, _ = twin._run(values.get("x", x), given, valid, False, generator)
        return np.sum(dy * out) + sum(np.sum(d * a) for d, a in zip(dfinal, last, strict=True))

    expected = complex_step(loss, arrays)
    for name in layer.parameters:
        if state is not None and name[0] in "hcifo" and name[1] == "0":
            assert not grads[name].any(), "a state was given, so the learnt one had no say"
        else:
            assert_same_gradient(grads[name], expected[name], name)
    for part, got in zip(parts, grads.state, strict=False):
        assert_same_gradient(got, expected[part], part)
    if tokens:
        assert grads.x is None
    else:
        assert_same_gradient(grads.x, expected["x"], "x")


@pytest.mark.parametrize("seed", [None, 5], ids=["", "training"])
@pytest.mark.parametrize("lengths", [None, [4, 0, 2]], ids=["whole", "ragged"])
@cases
def test_gradients(rng, numpy_engine, complex_step, assert_same_gradient, case, lengths, seed):
    layer = make(rng, case, 2, 3)
    x, state = rng.standard_normal((3, 4, 2)), random_state(layer, 3, rng)
    check_gradients(layer, x, state, lengths, seed, rng, complex_step, assert_same_gradient)


@cases
def test_stack_gradients(rng, numpy_engine, complex_step, assert_same_gradient, case):
    layer = make(rng, case, 2, 2, 2, bidirectional=True, dropout=0.3)
    x, state = rng.standard_normal((2, 3, 2)), random_state(layer, 2, rng)
    check_gradients(layer, x, state, [3, 2], 5, rng, complex_step, assert_same_gradient)


@pytest.mark.parametrize("case", ["peepholes", "layer norm", "all at once"])
def test_token_gradients(rng, numpy_engine, complex_step, assert_same_gradient, case):
    layer = make(rng, case, 4, 2, tokens=True)
    x = rng.permuted(np.tile(np.arange(4), (3, 1)), axis=1)
    check_gradients(layer, x, random_state(layer, 3, rng), [2, 4, 3], 5, rng, complex_step, assert_same_gradient)


@pytest.mark.parametrize("case", ["learnt state", "all at once"])
@pytest.mark.parametrize("both", [False, True])
def test_gradients_of_the_learnt_state(rng, numpy_engine, complex_step, assert_same_gradient, case, both):
    layer = make(rng, case, 2, 2, 2, bidirectional=both)
    x = rng.standard_normal((3, 4, 2))
    check_gradients(layer, x, None, [4, 0, 2], 5, rng, complex_step, assert_same_gradient)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_of_activations(name):
    """By complex step, away from the corners; far out too, where nothing may overflow or warn."""
    for numbers in ([], [0.7], [0.7, 0.3]):
        try:
            f = Activation(name, *numbers)
        except SettingError:
            continue
        z = np.array([-40.0, -3.1, -0.9, -0.2, 0.15, 0.6, 2.3, 45.0])
        exact = f(z + 1e-30j).imag / 1e-30
        np.testing.assert_allclose(f.slope(z, f(z)), exact, rtol=1e-12, atol=1e-15)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            far = np.array([-1e4, 1e4], np.float32)
            assert f(far).dtype == f.slope(far, f(far)).dtype == np.float32
            assert np.isfinite(f(far)).all()
        assert np.isnan(f(np.array([np.nan]))).all()
        assert Activation.of(f.plain()) == f


# ---- state, streams, splits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@cases
def test_a_stream_is_the_sequence(rng, case, dtype):
    layer = make(rng, case, 3, 4, 2, dtype=dtype)
    x, stream = rng.standard_normal((2, 6, 3)), layer.stream(2)
    y, final = layer(x)
    for _ in range(2):
        steps = np.stack([stream(x[:, t]) for t in range(6)], axis=1)
        close((steps, *stream.state), (y, *final), 1e-13 if dtype == "float64" else 3e-6)
        stream.reset()
    state = random_state(layer, 2, rng)
    stream.state = state
    out = np.empty((2, layer.output_size), dtype)
    assert stream(x[:, 0], out) is out
    close([out], [layer(x[:, :1], state)[0][:, 0]], 1e-13 if dtype == "float64" else 3e-6)


@cases
def test_a_sequence_in_two_parts_is_the_whole(rng, case):
    layer = make(rng, case, 3, 4, 2)
    x, state = rng.standard_normal((3, 7, 3)), random_state(layer, 3, rng)
    whole, final, tape = layer.forward(x, state, record=True)
    first, middle, tape_1 = layer.forward(x[:, :3], state, record=True)
    second, last, tape_2 = layer.forward(x[:, 3:], middle, record=True)
    close((np.concatenate((first, second), 1), *last), (whole, *final))
    dy, dstate = rng.standard_normal(whole.shape), random_state(layer, 3, rng)
    expected = layer.backward(tape, dy, dstate)
    later = layer.backward(tape_2, dy[:, 3:], dstate)
    earlier = layer.backward(tape_1, dy[:, :3], later.state)
    close((earlier.flat + later.flat, *earlier.state), (expected.flat, *expected.state))
    again = layer.backward(tape, dy, dstate)
    assert np.array_equal(again.flat, expected.flat)


@cases
def test_padding_has_no_say(rng, case):
    layer = make(rng, case, 3, 4, 2, bidirectional=True)
    lengths, x = [3, 0, 5], rng.standard_normal((3, 5, 3))
    dy, state, dstate = rng.standard_normal((3, 5, layer.width_out)), random_state(layer, 3, rng), None
    for n, length in enumerate(lengths):
        x[n, length:] = dy[n, length:] = np.nan
    y, final, tape = layer.forward(x, state, lengths, record=True)
    grads, total = layer.backward(tape, dy, dstate), 0
    for n, length in enumerate(lengths):
        mine = tuple(part[:, n : n + 1] for part in state)
        y_n, final_n, tape_n = layer.forward(x[n, :length], mine, record=True)
        close((y[n, :length], *(part[:, n : n + 1] for part in final)), (y_n, *final_n))
        one = layer.backward(tape_n, dy[n, :length])
        close([grads.x[n, :length]], [one.x])
        assert not y[n, length:].any()
        assert not grads.x[n, length:].any()
        total = total + one.flat
    close([grads.flat], [total])


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0)])
@cases
def test_no_rows_or_no_steps(rng, case, shape):
    layer = make(rng, case, 2, 3)
    state, dstate = random_state(layer, shape[0], rng), random_state(layer, shape[0], rng)
    y, final, tape = layer.forward(np.zeros((*shape, 2)), state, record=True)
    assert y.shape == (*shape, layer.width_out)
    close(final, state)
    grads = layer.backward(tape, np.zeros(y.shape), dstate)
    assert not grads.flat.any()
    close(grads.state, dstate)


@cases
def test_nan_stays_in_its_row_and_nothing_warns(rng, case):
    layer = make(rng, case, 3, 4, dtype="float32")
    x = rng.standard_normal((3, 4, 3))
    x[1, 2] = np.nan
    y, _, tape = layer.forward(x, record=True)
    layer.backward(tape, np.ones(y.shape))
    assert np.isfinite(y[[0, 2]]).all()
    assert np.isfinite(y[1, :2]).all()
    assert np.isnan(y[1, 2:]).any()
    x[1, 2] = 3e38
    layer(x)


def test_the_trace_of_a_variant_is_what_ran(rng):
    layer = make(rng, "coupled", 3, 4)
    x = rng.standard_normal((2, 5, 3))
    y, trace = layer.trace(x)
    assert np.array_equal(trace["h", 0], y)
    assert np.array_equal(trace["f", 0], 1 - trace["i", 0])
    assert (make(rng, "no input gate", 3, 4).trace(x)[1]["i", 0] == 1).all()
    with pytest.raises(KeyError, match="nothing"):
        trace._source.stacks[0].tape.tapes[0][0].read("nothing")


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


def test_a_variant_trains(rng):
    """The adding problem's kind of loss falls by plain gradient descent for every switch at once."""
    layer = LSTM(2, 6, rng=0, dtype="float64", peepholes=True, layer_norm="cell", projection_size=4, learn_state=True)
    x, target = rng.standard_normal((16, 5, 2)), rng.standard_normal((16, 5, 4)) / 3
    losses = []
    for _ in range(60):
        y, _, tape = layer.forward(x, record=True)
        losses.append(np.mean((y - target) ** 2))
        grads = layer.backward(tape, 2 * (y - target) / 16)
        layer.parameters.writable()[...] -= 0.05 * grads.flat
    assert losses[-1] < 0.8 * losses[0]
    assert layer.parameters["c0_l0"].any()


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
        assert all(word in caught.value.told(lang) for word in words)


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
