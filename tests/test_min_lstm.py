"""MinLSTM and the scan beneath it: the equations unrolled, complex step through both ways of scanning, saturated gates.
What holds for every recurrent layer (streams, padding, splits, stacks) is tested with the others in test_layers.py and
test_layer_properties.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compuerta
from compuerta import MinLSTM, gates
from compuerta.errors import SettingError, ShapeError
from compuerta.layers import Parameters
from compuerta.recurrence import scan

LONG = scan.FEW + 3 * scan.STEPS + 5  # so that scans go in blocks, of which the last is not whole, and so do the ends


def make(rng, *sizes, **options):
    layer = MinLSTM(*sizes, dtype="float64", rng=0, **options)
    for name, shape in layer.parameters.shapes.items():
        layer.parameters[name] = rng.standard_normal(shape)
    return layer


def unrolled(layer, x, h, reverse=False):
    """One row of one layer, unit by unit, straight from the paper's equations (Feng et al. 2024, section 3.2)."""
    end = "_l0_reverse" if reverse else "_l0"
    w, b, H = layer.parameters["w_x" + end], layer.parameters["b" + end], layer.hidden_size
    y, h = np.zeros((len(x), H)), h.copy()
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        for u in range(H):
            i, f, g = (sum(w[block * H + u, k] * x[t, k] for k in range(len(x[t]))) + b[block * H + u]
                       for block in range(3))  # fmt: skip
            i, f = 1 / (1 + math.exp(-i)), 1 / (1 + math.exp(-f))
            h[u] = f / (f + i) * h[u] + i / (f + i) * g
        y[t] = h
    return y, h


@pytest.mark.parametrize("steps", [7, LONG])
@pytest.mark.parametrize("ragged", [False, True])
def test_a_minimal_lstm_is_its_equations(rng, ragged, steps):
    layer = make(rng, 3, 4, bidirectional=True)
    lengths = [steps - 2, 0, steps] if ragged else [steps] * 3
    x, state = rng.standard_normal((3, steps, 3)), rng.standard_normal((2, 3, 4))
    y, final = layer(x, state, lengths if ragged else None)
    for d in range(2):
        for n, length in enumerate(lengths):
            expected, last = unrolled(layer, x[n, :length], state[d, n], d == 1)
            np.testing.assert_allclose(y[n, :length, 4 * d : 4 * d + 4], expected, rtol=0, atol=1e-13)
            np.testing.assert_allclose(final[d, n], last, rtol=0, atol=1e-13)
            assert not y[n, length:].any()


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_gradients_through_a_scan_in_blocks(rng, complex_step, assert_same_gradient, ragged, tokens):
    layer = make(rng, 2, 2, bidirectional=True, tokens=tokens)
    lengths = [LONG, 0, LONG - 9] if ragged else None
    x, state = rng.standard_normal((3, LONG, 2)), rng.standard_normal((2, 3, 2))
    x = rng.integers(0, 2, (3, LONG)) if tokens else x
    y, final, tape = layer.forward(x, state, lengths, record=True)
    dy, dfinal = rng.standard_normal(y.shape), rng.standard_normal(final.shape)
    grads = layer.backward(tape, dy, dfinal)
    twin = MinLSTM(**layer.config())
    twin.parameters = Parameters(layer.parameters.shapes, np.dtype(np.complex128))
    somewhere = {"x": x[:, ::20]} if not tokens else {}  # every twentieth step: each costs a pass

    def loss(**values):
        for name, view in twin.parameters.named(twin.parameters.writable()).items():
            view[...] = values[name]
        inputs = x if tokens else x.astype(complex)
        if not tokens:
            inputs[:, ::20] = values["x"]
        valid = None if lengths is None else np.array(lengths)
        out, last, _ = twin.run(inputs, values["h"][None], valid, False, None)
        return np.sum(dy * out) + np.sum(dfinal * last)

    expected = complex_step(loss, dict(layer.parameters) | {"h": state} | somewhere)
    for name in layer.parameters:
        assert_same_gradient(grads[name], expected[name], name)
    assert_same_gradient(grads.state, expected["h"], "h")
    if not tokens:
        assert_same_gradient(grads.x[:, ::20], expected["x"], "x")


def test_gates_that_are_all_but_closed_still_share(rng):
    """Where f and i are both below the smallest float, f/(f + i) is 0/0; their ratio is not."""
    layer = MinLSTM(1, 1, rng=0)
    layer.parameters["w_x_l0"] = np.array([[-200.0], [-201.0], [0.0]])
    layer.parameters["b_l0"] = np.array([0.0, 0.0, 3.0])
    y, _, tape = layer.forward(np.ones((1, 1, 1)), np.full((1, 1, 1), 5.0), record=True)
    assert tape.tape.tapes[0][0].read("f").max() < 1e-40
    keep = 1 / (1 + math.e)
    assert y[0, 0, 0] == pytest.approx(5 * keep + 3 * (1 - keep), rel=1e-6)
    grads = layer.backward(tape, np.ones((1, 1, 1)))
    assert all(np.isfinite(grads.flat))
    assert grads["b_l0"][0] == pytest.approx(keep * (1 - keep) * (3 - 5), rel=1e-6)


def test_the_trace_gives_what_the_catalogue_says(rng):
    layer = make(rng, 3, 4)
    x = rng.standard_normal((2, 6, 3))
    y, trace = layer.trace(x)
    assert set(trace.names) == set(gates.MIN_LSTM)
    assert layer.blocks == gates.MIN_LSTM_ORDER
    f, i, g = (trace[key, 0] for key in "fig")
    h = np.zeros((2, 4))
    for t in range(6):
        h = (f[:, t] * h + i[:, t] * g[:, t]) / (f[:, t] + i[:, t])
        np.testing.assert_allclose(trace["h", 0][:, t], h, rtol=1e-12)
    assert np.array_equal(trace["h", 0], y)
    w, b = layer.parameters["w_x_l0"], layer.parameters["b_l0"]
    np.testing.assert_allclose(f, 1 / (1 + np.exp(-(x @ w[4:8].T + b[4:8]))), rtol=1e-12)
    with pytest.raises(KeyError, match="'c'"):
        trace.run.stacks[0].tape.tapes[0][0].read("c")


def test_the_layer_around_it(rng, tmp_path):
    layer = MinLSTM(3, 4, 2, bidirectional=True, forget_bias=2.0, rng=0)
    assert layer.parameters.shapes["w_x_l1_reverse"] == (12, 8)
    assert layer.parameters["b_l0"].tolist() == [0] * 4 + [2] * 4 + [0] * 4
    compuerta.save(layer, tmp_path / "m.safetensors")
    twin, x = compuerta.load(tmp_path / "m.safetensors"), rng.standard_normal((2, 5, 3))
    assert twin.config() == layer.config()
    assert np.array_equal(twin(x)[0], layer(x)[0])
    with pytest.raises(SettingError, match="forget_bias"):
        MinLSTM(3, 4, forget_bias=math.nan)
    with pytest.raises(ShapeError, match="MinLSTM: hidden_size"):
        MinLSTM(3, 0)


# ---- the scan -------------------------------------------------------------------------------------------------------


@given(st.integers(scan.STEPS, 700), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_a_scan_in_blocks_is_the_recurrence_step_by_step(steps, width, seed):
    rng = np.random.default_rng(seed)
    a, b, h = rng.uniform(-1, 1, (steps, width)), rng.standard_normal((steps, width)), rng.standard_normal(width)
    kept = a.copy(), b.copy(), h.copy()
    expected, now = [], h
    for t in range(steps):
        now = a[t] * now + b[t]
        expected.append(now)
    for found in (scan.in_blocks(a, b, h), scan.in_steps(a, b, h), scan.scan(a, b, h)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    for given_, before in zip((a, b, h), kept, strict=True):
        assert np.array_equal(given_, before)


def test_a_scan_stays_within_what_it_mixes(rng):
    """Of shares that sum to 1 and values in [-1, 1], over 5000 steps in float32: no sum grows, nothing overflows."""
    a = rng.random((5000, 4), np.float32) ** 0.1
    b = (1 - a) * rng.uniform(-1, 1, a.shape).astype(np.float32)
    with np.errstate(over="raise", invalid="raise"):
        h = scan.in_blocks(a, b, np.ones(4, np.float32))
    assert h.dtype == np.float32
    assert np.abs(h).max() <= 1 + 1e-5
    np.testing.assert_allclose(h, scan.in_steps(a.astype(float), b.astype(float), np.ones(4)), rtol=0, atol=3e-6)


def test_which_way_a_scan_goes(monkeypatch):
    took = []
    monkeypatch.setattr(scan, "in_steps", lambda a, b, h: took.append("steps"))
    monkeypatch.setattr(scan, "in_blocks", lambda a, b, h: took.append("blocks"))
    for steps, width in ((scan.FEW - 1, 4), (scan.FEW, 4), (scan.FEW, scan.WIDE)):
        scan.scan(np.ones((steps, width)), np.ones((steps, width)), np.ones(width))
    assert took == ["steps", "blocks", "steps"]
