"""Every variant of the LSTM cell: against an oracle written from the papers (variant_oracle.py), by complex step, and
through states, streams, splits and padding. Chance and the layer around the cell: test_variant_layers.py."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import variant_oracle as oracle
from compuerta import LSTM, recurrence
from compuerta.activations import ACTIVATIONS, Activation
from compuerta.errors import SettingError
from compuerta.layers import Parameters
from compuerta.recurrence import LSTMEquations, Stepwise, Variant
from variant_cases import CASES, NOISY, cases, close, make, random_state

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


def test_the_active_engine_says_who_computes_a_variant():
    assert LSTM(2, 3, rng=0).cell() is recurrence.active().lstm
    assert LSTM(2, 3, rng=0, learn_state=True).cell() is recurrence.active().lstm
    for case in set(CASES) - {"plain", "learnt state"}:
        layer = LSTM(2, 3, rng=0, **CASES[case])
        assert layer.cell() is recurrence.active().lstm_variant(layer.variant)
        assert layer.cell() is layer.cell()
        assert isinstance(recurrence.engines()["numpy"].lstm_variant(layer.variant), Stepwise)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_generic_cell_with_no_switch_is_the_plain_one(rng, numpy_engine, dtype):
    """Forward, backward and gradients of both: two programs for the same equations."""
    cells = Stepwise(LSTMEquations(Variant())), numpy_engine.lstm
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
        out, last, _ = twin.run(values.get("x", x), given, valid, False, generator)
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


@st.composite
def combinations(draw):
    """Any switches at once, sound or not."""
    on = {name: draw(st.booleans()) for name in ("peepholes", "coupled", "full_gate_recurrence", "learn_state")}
    on |= {name: draw(st.integers(0, 3)) > 0 for name in ("input_gate", "forget_gate", "output_gate")}
    for name in ("gate_activation", "input_activation", "output_activation"):
        on[name] = draw(st.sampled_from(["Sigmoid", "Tanh", "Softsign", "Identity", "Elu", ["HardSigmoid", 0.3, 0.4]]))
    on["layer_norm"] = draw(st.sampled_from([None, "gates", "cell"]))
    on["projection_size"] = draw(st.sampled_from([None, 1, 2, 3]))
    on["cell_clip"], on["clip"] = draw(st.sampled_from([None, 0.8])), draw(st.sampled_from([None, 1.1]))
    on["zoneout"] = draw(st.sampled_from([0.0, (0.3, 0.2)]))
    on["recurrent_dropout"] = draw(st.sampled_from([0.0, 0.3]))
    on["weight_drop"] = draw(st.sampled_from([0.0, 0.3]))
    return on


@given(combinations(), st.integers(0, 2**32 - 1), st.booleans())
def test_any_combination_is_refused_or_is_its_equations_with_exact_gradients(complex_step, on, seed, training):
    gates = (on["input_gate"], on["forget_gate"], on["output_gate"])
    unsound = (on["coupled"] and not all(gates[:2])) or ((on["peepholes"] or on["full_gate_recurrence"])
                                                         and not any(gates))  # fmt: skip
    if unsound:
        with pytest.raises(SettingError, match="exclude each other"):
            LSTM(2, 2, rng=0, **on)
        return
    rng = np.random.default_rng(seed)
    layer = LSTM(2, 2, dtype="float64", rng=0, **on)
    for name, shape in layer.parameters.shapes.items():
        layer.parameters[name] = 0.8 * rng.standard_normal(shape)
    x, state, key = rng.standard_normal((2, 3, 2)), random_state(layer, 2, rng), seed if training else None
    y, final, record = layer.forward(x, state, record=True, rng=key)
    masks = (lambda k, d: getattr(record.tape.tapes[k][d], "masks", None)) if training else None
    expected, expected_final, _ = oracle.run(layer, x, state, [3, 3], on, masks)
    close((y, *final), (expected, *expected_final), 1e-12)

    def nearly(got, exact, name):  # a gradient may be zero everywhere here: all clipped, or all masked
        np.testing.assert_allclose(got, exact, rtol=0, atol=1e-9 * max(np.abs(exact).max(), 1e-3), err_msg=name)

    previous = recurrence.engine()
    recurrence.use_engine("numpy")
    try:
        check_gradients(layer, x, state, [3, 2], key, rng, complex_step, nearly)
    finally:
        recurrence.use_engine(previous)


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
        trace.run.stacks[0].tape.tapes[0][0].read("nothing")
